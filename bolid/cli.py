"""The verbs: `bolid fit|validate|test|predict` are Lightning's, the others functions. Heavy imports stay inside."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from importlib import import_module

from bolid.commands.quiet import quiet
from bolid.core.errors import BolidError, causes

TRAINING = {
    "fit": "Train what a configuration describes.",
    "validate": "Compute the validation losses of a checkpoint.",
    "test": "Measure a checkpoint: a report and, where pictures are drawn, a picture sheet.",
    "predict": "Draw the prompts of the test photos with a checkpoint, in every column.",
}
FUNCTIONS = {
    "compare": ("bolid.commands.compare:compare", "Put the numbers of several tests side by side."),
    "generate": ("bolid.commands.generate:generate", "Draw pictures of a person from a prompt."),
    "personalize": ("bolid.commands.personalize:personalize", "From a folder of photos to a person and first images."),
    "identity create": ("bolid.commands.enroll:create_identity", "Read a person off photos, and store them by name."),
    "identity mix": ("bolid.commands.identity:mix_identities", "Store somebody between two people."),
    "identity move": ("bolid.commands.identity:move_identity", "Store somebody with more or less of a proportion."),
    "identity list": ("bolid.commands.identity:list_identities", "List who is stored."),
    "identity show": ("bolid.commands.identity:show_identity", "Say what is known of a person."),
    "identity delete": ("bolid.commands.identity:delete_identity", "Delete a person."),
    "identity directions": ("bolid.commands.learn:fit_directions", "Find where c_body holds which proportion."),
    "identity prior": ("bolid.commands.learn:fit_prior", "Learn which bodies captions stand for."),
    "data render": ("bolid.synthetic.render:render_folder", "Render photos of people with their ground truth."),
    "data collect": ("bolid.data.collect.run:collect", "Collect photos of people from a gallery site or a list."),
    "data annotate": ("bolid.data.annotate.annotate:annotate_folder", "Turn a folder of photos into a manifest."),
    "data label": ("bolid.data.annotate.annotate:annotate_folder", "The older name of `data annotate`."),
    "data curate": ("bolid.data.curate.run:curate", "Say which photos of a folder serve, and why others do not."),
    "data inspect": ("bolid.data.inspect.run:inspect", "Show a set on one page: what is kept, and why not the rest."),
    "data shard": ("bolid.data.write_shards:shard", "Write a set as WebDataset shards, for large sets."),
    "data forget": ("bolid.data.inspect.forget:forget", "Remove a person from a set, and say what was removed."),
    "networks list": ("bolid.commands.networks:list_networks", "List the networks that can be fetched."),
    "networks get": ("bolid.commands.networks:get_networks", "Fetch networks that know real people."),
    "networks import": ("bolid.commands.networks:import_network", "Convert a network of your own."),
    "cache list": ("bolid.commands.cache:list_cache", "List what is kept on the disk to save time."),
    "cache clear": ("bolid.commands.cache:clear_cache", "Remove what is kept of some kinds."),
    "doctor": ("bolid.commands.doctor:doctor", "Say what works on this machine, and what to do where it does not."),
    "completion": ("bolid.commands.completion:completion", "Print a script by which a shell completes commands."),
    "bundle new": ("bolid.bundle.new:new_stable_diffusion", "Write an untrained miniature Stable Diffusion."),
    "bundle grade": ("bolid.bundle.new:grade_text_encoder", "Teach a miniature's text encoder graded words."),
    "bundle watermark": ("bolid.bundle.watermark:train_watermark", "Train the network that finds watermarks."),
    "bundle suspend": ("bolid.bundle.suspend:suspend_fit", "Pack a fit's checkpoint into one small file."),
    "bundle resume": ("bolid.bundle.suspend:resume_fit", "Unpack it to a checkpoint that a fit goes on from."),
    "bundle pack": ("bolid.bundle.pack:pack_bundle", "Gather what the bundle's fits exported into data/tiny."),
}
# Errors of the system that a user can mend, and how.
FULL, ELSEWHERE = "make some room, or choose another disk", "choose another place, or change its permissions"
DISK = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), FULL)
DISK |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), ELSEWHERE)
DISK |= dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), "a file is where a folder is wanted, or the reverse")
GONE = re.compile(r"gloo|Connection (closed by peer|reset)|NCCL|Broken pipe")  # in what torch.distributed says
HELP = "\n".join(
    ["usage: bolid VERB [options]", "", "BoLID: pictures of a particular person, body and face.", "", "verbs:"]
    + [f"  {verb:19} {text}" for verb, text in TRAINING.items()]
    + [f"  {verb:19} {text}" for verb, (_, text) in FUNCTIONS.items()]
    + ["", "`bolid VERB --help` lists a verb's options; `bolid fit --config FILE --print_config` shows them filled in."]
)


def main(argv: list[str] | None = None) -> int:
    """Runs a verb and returns the exit status; errors that the user can mend are one line on standard error."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0 if argv else 2
    try:
        with quiet():
            return run(argv)
    except (KeyboardInterrupt, SystemExit) as end:
        status = interrupted(end)
        if status is None:
            raise
        return status
    except Exception as error:
        told = mendable(error)
        if told is None:
            raise
        print(f"bolid: {' '.join(str(told).split())}", file=sys.stderr)
        return 1


def interrupted(end: BaseException) -> int | None:
    """The exit status that a shell gives a process ended by Ctrl-C or SIGTERM; None of an end for other reasons."""
    if KeyboardInterrupt in (type(end), type(end.__context__)):  # of which Lightning makes an exit with status 1
        return 128 + signal.SIGINT
    if type(end).__name__ == "SIGTERMException":  # Lightning's, without a status where it raises it itself
        return 128 + signal.SIGTERM if end.code is None else end.code  # type: ignore[attr-defined]
    return None


def mendable(error: BaseException) -> BolidError | None:
    """What the user can mend behind an exception: libraries wrap a constructor's `BolidError` in their own."""
    for cause in causes(error):
        if isinstance(cause, BolidError):
            return cause
        if type(cause).__name__ == "MisconfigurationException":  # Lightning's, recognised without importing it
            return BolidError(str(cause))
        if found := of_disk(cause) or of_rank(cause):
            return found
    return None


def of_disk(cause: BaseException) -> BolidError | None:
    """A full or read-only disk, a file where a folder is wanted: the system says what and where."""
    found = re.search(r"os error (\d+)", str(cause))  # safetensors'
    number = int(found[1]) if found else getattr(cause, "errno", None)
    if number not in DISK or not (found or isinstance(cause, OSError)):
        return None
    where = " to ".join(str(name) for name in (cause.filename, cause.filename2) if name) if not found else ""  # type: ignore[attr-defined]
    return BolidError(f"{where or 'a file'} cannot be written or read: {os.strerror(number)}; {DISK[number]}")


def of_rank(cause: BaseException) -> BolidError | None:
    """A process of several ends with the others' connections, whatever the reason for which it ended."""
    if isinstance(cause, RuntimeError) and GONE.search(str(cause)):
        return BolidError(
            "another process of this run has ended, and this one with it; its own message says why. Go on with "
            "`--ckpt_path last`"
        )
    return None


def run(argv: list[str]) -> int:
    """Routes on the first word or two."""
    if argv[0] in TRAINING:
        train(argv)
        return 0
    words = 1 if argv[0] in FUNCTIONS else 2
    verb = " ".join(argv[:words])
    if verb not in FUNCTIONS:
        known = ", ".join([*TRAINING, *FUNCTIONS])
        raise BolidError(f"unknown verb {verb!r}; the verbs are {known} (see `bolid --help`)")
    call(verb, argv[words:])
    return 0


def train(argv: list[str]) -> None:
    """Hands the training verbs to Lightning."""
    from bolid.commands.training import Command

    Command(argv)


def call(verb: str, argv: list[str]) -> None:
    """Runs a plain function on the command line's arguments, and prints what it returns."""
    from jsonargparse import auto_cli

    from bolid.commands.parser import OneLineParser, gather, trust_nothing

    trust_nothing()
    module, _, name = FUNCTIONS[verb][0].partition(":")
    function = getattr(import_module(module), name)
    positional = not verb.startswith(("identity", "compare"))
    result = auto_cli(
        function, args=gather(argv, function), as_positional=positional, prog=f"bolid {verb}",
        parser_class=OneLineParser, allow_abbrev=False,
    )  # fmt: skip
    if result is not None:
        print(result)


if __name__ == "__main__":
    sys.exit(main())
