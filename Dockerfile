# For hosts with NVIDIA GPUs and the NVIDIA container toolkit. Written without being built or run:
# no machine with Docker was at hand, so expect to mend something on the first try.
#
#   docker build -t tomostudy .
#   docker run --rm --gpus all --ipc=host \
#       -v "$PWD/runs:/app/runs" -v /path/to/data:/data:ro tomostudy --study_name x --set data.root=/data
#
# --ipc=host: ranks and data loaders exchange tensors through shared memory.
# The runs folder must be writable for user 1000, or give another user with --user.
FROM python:3.12-slim

# PyTorch's wheels bring the CUDA libraries; the driver comes from the host. They bring no compiler:
# without one, torch.compile and Triton kernels do not work.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tomostudy

WORKDIR /app
COPY --chown=tomostudy . .
RUN mkdir -p runs && chown tomostudy /app runs

USER tomostudy
# The environment becomes part of the image; what was fetched for it need not.
ENV UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1
RUN scripts/setup.sh

VOLUME /app/runs
ENTRYPOINT ["./run_study.sh"]
