"""Plain functions behind the command line's verbs that need several rooms."""
