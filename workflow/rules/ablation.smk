"""Every choice of stage 1 undone in turn, around the papers' x·W, with the same seed and the same number of steps.

`snakemake ablation --config steps=1500` takes longer than the 600 steps of the shipped figures (a multiple of 100).
"""

STEPS = config.get("steps", 600)
ABLATION = f"runs/body_ablation_{STEPS}"
CHOICES = sorted({path.stem for path in Path(workflow.basedir).parent.glob("configs/experiment/body_*.yaml")} - {"body_supervised"})


rule ablation:
    input:
        expand(ABLATION + "/{choice}/report.json", choice=CHOICES),
    params:
        " ".join(f"{ABLATION}/{choice}" for choice in CHOICES),
    shell:
        "bolid compare --runs {params} --out benchmarks/results/body_ablation.json --metrics "
        "retrieval_top1_4view retrieval_top1_1view twin_top1 shape_r2 shape_r2_ratio clothes_leak pose_leak kl_nats"


rule choice:  # body_supervised is the ceiling that the others' shape_r2_ratio is a share of
    input:
        lambda wildcards: ancient([] if wildcards.choice == "body_supervised" else f"{ABLATION}/body_supervised/report.json"),
    output:
        ABLATION + "/{choice}/report.json",
    wildcard_constraints:
        choice="|".join([*CHOICES, "body_supervised"]),
    params:
        options=lambda wildcards: " ".join(
            [
                configs("body_vae", "experiment/body_sigma_10", f"experiment/{wildcards.choice}"),
                f"--trainer.logger.init_args.name {Path(ABLATION).name}",
                f"--trainer.logger.init_args.version {wildcards.choice}",
                f"--trainer.max_steps {STEPS} --model.init_args.scheduler.init_args.total_steps {STEPS}",
            ]
        ),
        ceiling=lambda wildcards, input: f"--model.init_args.probe.supervised {input}" if input else "",
    threads: 2
    shell:
        "bolid fit {params.options} --ckpt_path last && "
        "bolid test {params.options} --data.init_args.rendered.train.people 1500 {params.ceiling} "
        f"--ckpt_path {ABLATION}/{{wildcards.choice}}/checkpoints/last.ckpt"
