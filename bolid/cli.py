"""The command line: `bolid fit|validate|test|predict` use LightningCLI, every other command calls a function.

Heavy imports stay inside functions, so that `bolid --help` is fast.
"""

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
    "fit": "Train the task of a configuration.",
    "validate": "Compute the validation losses of a checkpoint.",
    "test": "Evaluate a checkpoint: a report and, if images are generated, an image sheet.",
    "predict": "Generate images for the prompts of the test photos with every method.",
}
FUNCTIONS = {
    "compare": ("bolid.commands.compare:compare", "Compare the metrics of several test reports in one table."),
    "generate": ("bolid.commands.generate:generate", "Generate images of a person from a prompt."),
    "personalize": ("bolid.commands.personalize:personalize", "Folder of photos to identity and first images."),
    "identity create": ("bolid.commands.enroll:create_identity", "Create an identity from photos."),
    "identity mix": ("bolid.commands.identity:mix_identities", "Interpolate two identities."),
    "identity move": ("bolid.commands.identity:move_identity", "Change one body proportion of an identity."),
    "identity list": ("bolid.commands.identity:list_identities", "List the stored identities."),
    "identity show": ("bolid.commands.identity:show_identity", "Show what an identity holds."),
    "identity delete": ("bolid.commands.identity:delete_identity", "Delete an identity."),
    "identity directions": ("bolid.commands.learn:fit_directions", "Fit the directions of proportions in c_body."),
    "identity prior": ("bolid.commands.learn:fit_prior", "Fit the text prior p(c_body | caption)."),
    "data render": ("bolid.synthetic.render:render_folder", "Render photos of people with their ground truth."),
    "data collect": ("bolid.data.collect.run:collect", "Collect photos of people from a gallery site or a list."),
    "data annotate": ("bolid.data.annotate.annotate:annotate_folder", "Turn a folder of photos into a manifest."),
    "data label": ("bolid.data.annotate.annotate:annotate_folder", "The older name of `data annotate`."),
    "data curate": ("bolid.data.curate.run:curate", "Say which photos of a folder are usable, and why others are not."),
    "data inspect": ("bolid.data.inspect.run:inspect", "Show on one page what of a data set is kept, and why."),
    "data shard": ("bolid.data.write_shards:shard", "Write a data set as WebDataset shards, for large sets."),
    "data forget": ("bolid.data.inspect.forget:forget", "Remove a person from a data set, and say what was removed."),
    "networks list": ("bolid.commands.networks:list_networks", "List the networks that can be fetched."),
    "networks get": ("bolid.commands.networks:get_networks", "Fetch vision networks for real photos."),
    "networks import": ("bolid.commands.networks:import_network", "Convert a network of your own."),
    "cache list": ("bolid.commands.cache:list_cache", "List the caches on the disk, with their sizes."),
    "cache clear": ("bolid.commands.cache:clear_cache", "Remove caches of the given kinds."),
    "doctor": ("bolid.commands.doctor:doctor", "Say what works on this machine, and what to do where it does not."),
    "completion": ("bolid.commands.completion:completion", "Print a script by which a shell completes commands."),
    "bundle new": ("bolid.bundle.new:new_stable_diffusion", "Write an untrained miniature Stable Diffusion."),
    "bundle grade": ("bolid.bundle.new:grade_text_encoder", "Train the miniature's text encoder on graded words."),
    "bundle watermark": ("bolid.bundle.watermark:train_watermark", "Train the network that finds watermarks."),
    "bundle suspend": ("bolid.bundle.suspend:suspend_fit", "Pack a fit's checkpoint into one small file."),
    "bundle resume": ("bolid.bundle.suspend:resume_fit", "Unpack it to a checkpoint that a fit resumes from."),
    "bundle pack": ("bolid.bundle.pack:pack_bundle", "Collect the exports of the bundle's fits into data/tiny."),
}
# Errors of the operating system that a user can fix, and how.
FULL, ELSEWHERE = "make some room, or choose another disk", "choose another place, or change its permissions"
DISK = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), FULL)
DISK |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), ELSEWHERE)
DISK |= dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), "a file is where a folder is wanted, or the reverse")
GONE = re.compile(r"gloo|Connection (closed by peer|reset)|NCCL|Broken pipe")  # in messages of torch.distributed
HELP = "\n".join(
    ["usage: bolid COMMAND [options]", "", "BoLID: images of a particular person, body and face.", "", "commands:"]
    + [f"  {command:19} {text}" for command, text in TRAINING.items()]
    + [f"  {command:19} {text}" for command, (_, text) in FUNCTIONS.items()]
    + ["", "`bolid COMMAND --help` lists its options; `bolid fit --config FILE --print_config` shows their values."]
)


def main(argv: list[str] | None = None) -> int:
    """Runs a command and returns the exit status; errors that the user can fix are one line on standard error."""
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
        mistake = mendable(error)
        if mistake is None:
            raise
        print(f"bolid: {' '.join(str(mistake).split())}", file=sys.stderr)
        return 1


def interrupted(end: BaseException) -> int | None:
    """The exit status 128 + signal number of a process ended by Ctrl-C or SIGTERM; None for other reasons."""
    if KeyboardInterrupt in (type(end), type(end.__context__)):  # Lightning turns it into an exit with status 1
        return 128 + signal.SIGINT
    if type(end).__name__ == "SIGTERMException":  # Lightning's; it has no status if Lightning itself raised it
        return 128 + signal.SIGTERM if end.code is None else end.code  # type: ignore[attr-defined]
    return None


def mendable(error: BaseException) -> BolidError | None:
    """The error that the user can fix among an exception's causes: libraries wrap a constructor's `BolidError`."""
    for cause in causes(error):
        if isinstance(cause, BolidError):
            return cause
        if type(cause).__name__ == "MisconfigurationException":  # Lightning's, recognised without importing it
            return BolidError(str(cause))
        if found := of_disk(cause) or of_rank(cause):
            return found
    return None


def of_disk(cause: BaseException) -> BolidError | None:
    """The `BolidError` of a full or read-only disk, or of a file where a folder is expected; None otherwise."""
    found = re.search(r"os error (\d+)", str(cause))  # safetensors'
    number = int(found[1]) if found else getattr(cause, "errno", None)
    if number not in DISK or not (found or isinstance(cause, OSError)):
        return None
    where = " to ".join(str(name) for name in (cause.filename, cause.filename2) if name) if not found else ""  # type: ignore[attr-defined]
    return BolidError(f"{where or 'a file'} cannot be written or read: {os.strerror(number)}; {DISK[number]}")


def of_rank(cause: BaseException) -> BolidError | None:
    """The `BolidError` of a rank that lost its connection because another rank has ended; None otherwise."""
    if isinstance(cause, RuntimeError) and GONE.search(str(cause)):
        return BolidError(
            "another process of this run has ended, and this one with it; its own message says why. Go on with "
            "`--ckpt_path last`"
        )
    return None


def run(argv: list[str]) -> int:
    """Dispatches on the first word or two."""
    if argv[0] in TRAINING:
        train(argv)
        return 0
    words = 1 if argv[0] in FUNCTIONS else 2
    command = " ".join(argv[:words])
    if command not in FUNCTIONS:
        known = ", ".join([*TRAINING, *FUNCTIONS])
        raise BolidError(f"unknown command {command!r}; the commands are {known} (see `bolid --help`)")
    call(command, argv[words:])
    return 0


def train(argv: list[str]) -> None:
    """Runs a training command by LightningCLI."""
    from bolid.commands.training import Command

    Command(argv)


def call(command: str, argv: list[str]) -> None:
    """Calls a function with the command line's arguments, and prints its result."""
    from jsonargparse import auto_cli

    from bolid.commands.parser import OneLineParser, gather, trust_nothing

    trust_nothing()
    module, _, name = FUNCTIONS[command][0].partition(":")
    function = getattr(import_module(module), name)
    positional = not command.startswith(("identity", "compare"))
    result = auto_cli(
        function, args=gather(argv, function), as_positional=positional, prog=f"bolid {command}",
        parser_class=OneLineParser, allow_abbrev=False,
    )  # fmt: skip
    if result is not None:
        print(result)


if __name__ == "__main__":
    sys.exit(main())
