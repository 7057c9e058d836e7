"""Settings keyed by name: configurations merge them name by name, and `null` removes one.

jsonargparse alone replaces the whole dictionary of an earlier file by that of a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import yaml
from jsonargparse import Namespace
from jsonargparse._typehints import ActionTypeHint, NestedArg

from bolid.commands.parser import SettingError
from bolid.core.errors import causes


class ByName(ActionTypeHint):
    """A setting of type `dict[str, SomeClass | None]`."""

    def _check_type(self, value: Any, append: bool = False, cfg: Any = None, mode: Any = None) -> Any:
        """Merges the given entries into the earlier ones by name; `null` removes an entry.

        Raises:
            SettingError: If an unknown name is changed or removed, a new name holds a dot, or an entry is invalid.
        """
        found = dict((cfg.get(self.dest) if cfg else None) or {})
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = yaml.safe_load(value)
        if isinstance(value, NestedArg):  # --callbacks.NAME or --callbacks.NAME.SETTING
            name, _, setting = str(value.key).partition(".")
            null = value.val in ("null", "None")  # the latter from a parser of an outer class
            entry = {setting: value.val} if setting else None if null else value.val
            found[name] = self._check_entry(name, entry, value._replace(val=None) if null else value, found)
        elif isinstance(value, Mapping):
            for name, entry in value.items():
                found[name] = self._check_entry(str(name), entry, {name: entry}, found)
        else:
            return super()._check_type(value, append=append, cfg=cfg, mode=mode)
        return {name: entry for name, entry in found.items() if entry is not None}

    def _check_entry(self, name: str, entry: Any, value: Any, before: Mapping) -> Any:
        """The entry that jsonargparse parses from `value` for this name alone."""
        self._check_name(name, name in before or class_path(entry) is not None, before)
        # The settings of the former class, its defaults included, do not apply to another class.
        kept = {} if name not in before or is_another(class_path(entry), before[name]) else {name: before[name]}
        try:
            return super()._check_type(value, cfg=Namespace({self.dest: kept}))[name]
        except (TypeError, ValueError) as error:
            inner = next((cause for cause in causes(error) if isinstance(cause, SettingError)), None)
            if inner is None:
                raise
            raise SettingError(".".join(filter(None, [self.dest, name, "init_args", inner.key])), inner.what) from error

    def _check_name(self, name: str, known: bool, before: Mapping) -> None:
        if "." in name:
            raise SettingError(self.dest, f"a name has no dot, as {name!r} has")
        if not known:
            there = ", ".join(before) or "none"
            raise SettingError(self.dest, f"there is no {name!r} to change or remove (there are: {there}); a new one "
                               "needs a class_path")  # fmt: skip


class MergesByName:
    """Mixin for jsonargparse parsers: every setting of type `dict[str, SomeClass | None]` is merged by name."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """See `ArgumentParser`; applies `merge_by_name`."""
        action = super().add_argument(*args, **kwargs)  # type: ignore[misc]
        merge_by_name(self)
        return action

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> Any:
        """See `ArgumentParser`; applies `merge_by_name`."""
        added = super().add_class_arguments(*args, **kwargs)  # type: ignore[misc]
        merge_by_name(self)
        return added


def merge_by_name(parser: Any) -> None:
    """Turns settings of type `dict[str, SomeClass | None]` into `ByName`; jsonargparse has no hook for it."""
    for action in parser._actions:
        if type(action) is ActionTypeHint and is_keyed_by_name(action._typehint):
            # The action already exists: changing its class keeps its options, help and default.
            action.__class__ = ByName


def is_keyed_by_name(hint: Any) -> bool:
    """Whether a type is a mapping from names to objects of a class, optional or not."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if ActionTypeHint.is_mapping_typehint(hint) and len(kinds) == 1:
        return is_keyed_by_name(kinds[0])
    is_mapping = ActionTypeHint.is_mapping_typehint(hint) and len(kinds) == 2
    return is_mapping and ActionTypeHint.is_subclass_typehint(kinds[1], all_subtypes=False)


def class_path(entry: Any) -> Any:
    """The class path of an entry, or the object itself; None if the entry only changes settings."""
    return entry.get("class_path") if isinstance(entry, Mapping | Namespace) else entry


def is_another(path: Any, before: Any) -> bool:
    """Whether an entry names another class than the earlier entry of its name; class paths may be full or short."""
    was = class_path(before)
    return isinstance(path, str) and isinstance(was, str) and path != was and path != was.rpartition(".")[2]
