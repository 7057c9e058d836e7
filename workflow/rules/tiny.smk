"""The embedded bundle, trained from nothing: `runs/tiny/<member>`, gathered into `data/tiny`."""

TINY = "runs/tiny"
START = "--model.init_args.backbone.init_args.path"
PAIRS = "bolid data render data/pairs --photos 4 --opposites true --size '[96,64]'"
ENCODER = ["body_vae", "tiny/body_vae"]
MEMBERS = {  # run: its configurations
    **{name: [f"tiny/{name}"] for name in ("vae", "clip_score", "clip_loss", "pose", "face", "attributes", "anthropometer")},
    **{f"{name}_loss": [f"tiny/{name}", f"tiny/{name}_loss"] for name in ("attributes", "anthropometer")},
    "body_vae_whole": [*ENCODER, "tiny/body_vae_more", "tiny/body_vae_whole"],
    "body_vae_photos": ["body_vae", "tiny/body_vae_photos"],
}
NEEDS = {  # run: what it reads of other runs
    **dict.fromkeys(("clip_score", "clip_loss"), f"{TINY}/new/model_index.json"),
    **dict.fromkeys(("attributes", "attributes_loss", "anthropometer", "anthropometer_loss"), f"{TINY}/vae/report.json"),
    "body_vae_whole": f"{TINY}/body_vae_more/body_vae/config.json",
}


rule tiny:
    input:
        expand(TINY + "/{run}/report.json", run=["unet_score", "words_score", *MEMBERS]),
    shell:
        "bolid bundle pack"


rule member:  # a fit, and its score on people of the reserved range
    input:
        lambda wildcards: ancient(NEEDS.get(wildcards.run, [])),
    output:
        TINY + "/{run}/report.json",
    wildcard_constraints:
        run="|".join(MEMBERS),
    params:
        lambda wildcards: configs(*MEMBERS[wildcards.run]),
    threads: 2
    shell:
        "bolid fit {params} --ckpt_path last && "
        f"bolid test {{params}} --ckpt_path {TINY}/{{wildcards.run}}/checkpoints/last.ckpt"


rule new:
    input:
        ancient(f"{TINY}/vae/report.json"),
    output:
        f"{TINY}/new/model_index.json",
    threads: 2
    shell:
        f"bolid bundle new {TINY}/new {TINY}/vae/vae data/base"


rule unet:
    input:
        ancient(f"{TINY}/new/model_index.json"),
    output:
        f"{TINY}/unet/stable-diffusion/model_index.json",
    params:
        configs("tiny/unet"),
    threads: 2
    shell:
        "bolid fit {params} --ckpt_path last"


rule unet_more:
    input:
        ancient(rules.unet.output),
    output:
        f"{TINY}/unet_more/stable-diffusion/model_index.json",
    params:
        f"{configs('tiny/unet', 'tiny/unet_more')} {START} {TINY}/unet/stable-diffusion",
    threads: 2
    shell:
        "bolid data render data/base --first 5000 --people 3000 --photos 4 --framing figure --size '[96,64]' && "
        "bolid fit {params} --ckpt_path last"


rule unet_opposites:
    input:
        ancient(rules.unet_more.output),
    output:
        f"{TINY}/unet_opposites/stable-diffusion/model_index.json",
    params:
        f"{configs('tiny/unet', 'tiny/unet_opposites')} {START} {TINY}/unet_more/stable-diffusion",
    threads: 2
    shell:
        f"{PAIRS} --first 5000 --people 4000 --framing figure && "
        f"{PAIRS} --first 9000 --people 1000 --framing head_and_shoulders && "
        "bolid fit {params} --ckpt_path last"


rule score_unet:
    input:
        ancient(rules.unet_opposites.output),
    output:
        TINY + "/{run}/report.json",
    wildcard_constraints:
        run="unet_score|words_score",
    params:
        lambda wildcards: configs(*dict.fromkeys(("tiny/unet_score", f"tiny/{wildcards.run}"))),
        f"{START} {TINY}/unet_opposites/stable-diffusion",
    threads: 2
    shell:
        "bolid test {params}"


use rule unet as body_vae with:
    input:
        ancient(f"{TINY}/pose/report.json"),
    output:
        f"{TINY}/body_vae/body_vae/config.json",
    params:
        configs(*ENCODER),


use rule unet as body_vae_more with:
    input:
        ancient(rules.body_vae.output),
    output:
        f"{TINY}/body_vae_more/body_vae/config.json",
    params:
        configs(*ENCODER, "tiny/body_vae_more"),
