"""Every way of conditioning the backbone on a person, side by side, and what each loss of stage 2 buys.

The oracle and a face branch learn by L_diff, the body branch then what the oracle knows; from there it goes on by L_diff
alone (`loss_diffusion`) or with another loss, and by L_id (`bodies`), then by all losses (`held`), louder at last (`all`).
"""

TABLE = "runs/table"
GO_ON = ["table/common", "table/more"]
LOSSES = ["diffusion", "id", "id_17", "shape", "opposites", "clip", "prompt", "alignment"]
PLAIN = ["table/common", "table/plain"]
ALL = ["losses/few_step", *GO_ON, "table/all"]
# Strength is learned of bodies that are known well.
KNOWN = " --data.init_args.references.min 3"
ONE = " --model.init_args.columns '[{name: all, branches: [face, body]}]'"

FITS = {  # run: options
    "image": configs("adapter", "experiment/image_prompt", "table/common", "table/image"),
    "oracle": configs("adapter", "table/common", "table/oracle"),
    "distilled": configs("adapter", "table/common", "table/distilled"),
    "bodies": configs("adapter", "losses/few_step", *GO_ON, "table/bodies"),
    "held": configs("adapter", "losses/few_step", *GO_ON, "table/held") + KNOWN,
    "all": configs("adapter", *ALL) + KNOWN,
    "loss_diffusion": configs("adapter", *GO_ON),
    **{f"loss_{loss}": configs("adapter", f"losses/{loss}", *GO_ON) for loss in LOSSES[1:]},
}
BEFORE = {  # run: whose weights it starts from
    "distilled": "oracle",
    "bodies": "distilled",
    "held": "bodies",
    "all": "held",
    **{f"loss_{loss}": "distilled" for loss in LOSSES},
}
TESTS = {  # run: whose weights, options
    **{run: (run, FITS[run]) for run in ("image", "oracle", *(f"loss_{loss}" for loss in LOSSES))},
    "all": ("all", configs("adapter", *ALL)),
    "plain": ("loss_diffusion", configs("adapter", *PLAIN)),
    **{run: ("loss_diffusion", configs("adapter", *PLAIN, f"table/{run}")) for run in ("faces", "one_reference", "unguided")},
    **{run: ("all", configs("adapter", *ALL, f"table/{run}")) for run in ("scales", "prior", "sheet")},
    **{f"all_{way}": ("all", configs("adapter", *ALL, f"table/{way}") + ONE) for way in ("one_reference", "unguided")},
}
def adapter(run: str) -> str:
    """The last file of a finished fit."""
    return f"{TABLE}/{run}/adapter/adapter.json"


SHOWN = [run for run in TESTS if not run.startswith("loss_")]


rule table:
    input:
        expand(TABLE + "/{run}/report.json", run=SHOWN),
    shell:
        f"python benchmarks/adapter_table.py {TABLE} benchmarks/results/adapter_table.json docs/scales.png"


rule losses:
    input:
        expand(TABLE + "/loss_{loss}/report.json", loss=LOSSES),
    params:
        " ".join(f"{TABLE}/loss_{loss}" for loss in LOSSES),
    shell:
        "bolid compare --runs {params} --out benchmarks/results/losses.json --metrics "
        "body_shape_error/all body_shape_slope/all clip_score/clip_score/all pose_error/all adherence/shirt/all "
        "adherence/trousers/all adherence/background/all adherence/pose/all clothes_leak/all fid/clip_score/all"


rule fit_adapter:
    input:
        lambda wildcards: ancient([adapter(BEFORE[wildcards.run])] if wildcards.run in BEFORE else []),
    output:
        adapter("{run}"),
    wildcard_constraints:
        run="|".join(FITS),
    params:
        lambda wildcards: FITS[wildcards.run],
    threads: 2
    shell:
        "bolid fit {params} --trainer.logger.init_args.version {wildcards.run} --ckpt_path last"


rule test_adapter:
    input:
        lambda wildcards: ancient(adapter(TESTS[wildcards.run][0])),
        lambda wildcards: ancient(f"{TABLE}/body_prior/config.json" if wildcards.run == "prior" else []),
    output:
        TABLE + "/{run}/report.json",
    wildcard_constraints:
        run="|".join(TESTS),
    params:
        weights=lambda wildcards: TESTS[wildcards.run][0],
        options=lambda wildcards: TESTS[wildcards.run][1],
    threads: 2
    shell:
        "bolid test {params.options} --trainer.logger.init_args.version {wildcards.run} "
        f"--ckpt_path {TABLE}/{{params.weights}}/checkpoints/last.ckpt"


rule body_prior:  # from the people of the table, whom the first of its fits renders
    input:
        ancient(f"{TABLE}/all/report.json"),
    output:
        f"{TABLE}/body_prior/config.json",
    threads: 2
    shell:
        f"bolid identity prior --folder data/table --out {TABLE}/body_prior"
