"""The verbs: `bolid fit|validate|test|predict` are Lightning's, the others functions. Heavy imports stay inside."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from bolid.core.errors import BolidError

TRAINING = {
    "fit": "Train what a configuration describes.",
    "validate": "Compute the validation losses of a checkpoint.",
    "test": "Draw the test pictures of a checkpoint and write report and picture sheet.",
    "predict": "Draw the prompts of the test photos with a checkpoint, in every column.",
}
FUNCTIONS = {
    "data render": ("bolid.data.render:render_folder", "Render photos of people with their ground truth."),
    "data label": ("bolid.data.label:label_folder", "Turn a folder of photos per person into a manifest."),
    "bundle new": ("bolid.tasks.bundle.new:new_stable_diffusion", "Write an untrained miniature Stable Diffusion."),
    "bundle pack": ("bolid.tasks.bundle.pack:pack_bundle", "Gather what the bundle's fits exported into data/tiny."),
}
HELP = "\n".join(
    ["usage: bolid VERB [options]", "", "BoLID: pictures of a particular person, body and face.", "", "verbs:"]
    + [f"  {verb:12} {text}" for verb, text in TRAINING.items()]
    + [f"  {verb:12} {text}" for verb, (_, text) in FUNCTIONS.items()]
    + ["", "`bolid VERB --help` lists a verb's options; `bolid fit --config FILE --print_config` shows them filled in."]
)


def main(argv: list[str] | None = None) -> int:
    """Runs a verb and returns the exit status; errors that the user can mend are one line on standard error."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0 if argv else 2
    try:
        return run(argv)
    except Exception as error:
        mendable = cause(error)
        if mendable is None:
            raise
        print(f"bolid: {' '.join(str(mendable).split())}", file=sys.stderr)
        return 1


def cause(error: BaseException | None) -> BolidError | None:
    """What the user can mend behind an exception: jsonargparse wraps a constructor's `BolidError` in its own."""
    while error is not None and not isinstance(error, BolidError):
        if type(error).__name__ == "MisconfigurationException":  # Lightning's, told apart without importing it
            return BolidError(str(error))
        error = error.__cause__
    return error


def run(argv: list[str]) -> int:
    """Routes on the first word or two."""
    if argv[0] in TRAINING:
        train(argv)
        return 0
    verb = " ".join(argv[:2])
    if verb not in FUNCTIONS:
        known = ", ".join([*TRAINING, *FUNCTIONS])
        raise BolidError(f"unknown verb {verb!r}; the verbs are {known} (see `bolid --help`)")
    call(verb, argv[2:])
    return 0


def train(argv: list[str]) -> None:
    """Hands the training verbs to LightningCLI: task and data are chosen by `class_path` in the configuration."""
    from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

    from bolid.core.parser import OneLineErrors
    from bolid.data.datamodule import IdentityDataModule
    from bolid.tasks.base import BaseTask

    class Parser(OneLineErrors, LightningArgumentParser):
        pass

    class Command(LightningCLI):
        def before_instantiate_classes(self) -> None:
            """Before anything is loaded or rendered."""
            check_checkpoint(self.config[self.subcommand].ckpt_path)

    Command(
        BaseTask,
        IdentityDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        # A test in the run of a fit must not replace what the fit was configured with.
        save_config_kwargs={
            "overwrite": True,
            "config_filename": "config.yaml" if argv[0] == "fit" else f"{argv[0]}.yaml",
        },
        parser_class=Parser,
        parser_kwargs={"allow_abbrev": False, "prog": "bolid"},
        args=argv,
    )


def check_checkpoint(path: str | None) -> None:
    """Checkpoints are local files (Lightning would unpickle what a URL gives) or Lightning's words for one of its own.

    Raises:
        BolidError: if there is no such file.
    """
    if path not in (None, "best", "last", "hpc") and not Path(str(path)).is_file():
        raise BolidError(f"ckpt_path: no checkpoint at {path}; give a .ckpt file that `bolid fit` wrote")


def call(verb: str, argv: list[str]) -> None:
    """Runs a plain function on the command line's arguments, and prints what it returns."""
    from jsonargparse import auto_cli

    from bolid.core.parser import OneLineParser

    module, _, name = FUNCTIONS[verb][0].partition(":")
    result = auto_cli(
        getattr(import_module(module), name), args=argv, as_positional=True, prog=f"bolid {verb}",
        parser_class=OneLineParser, allow_abbrev=False,
    )  # fmt: skip
    if result is not None:
        print(result)


if __name__ == "__main__":
    sys.exit(main())
