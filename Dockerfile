# One image with all programs of Callsheet and ffmpeg. ComfyUI and language models stay outside.
#
#   docker build --tag callsheet .                        from source
#   docker build --tag callsheet --target prebuilt .      with a program that was built outside, target/image/callsheet
#
# The stages stand in this order because an engine without BuildKit builds every stage that comes before the one it is asked for.

# Debian 13 or newer, or a distribution like it. A program that is built outside needs a C library that is no newer.
ARG BASE_IMAGE=debian:trixie-slim
ARG RUST_IMAGE=rust:1.95-slim-trixie

FROM ${BASE_IMAGE} AS base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates ffmpeg \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
# Named volumes take over whose folder they are mounted at: /var/lib/callsheet for what one program keeps, /srv/callsheet for
# images, clips and films, /run/callsheet for what the workers of one host promise each other of its cards.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/callsheet --shell /usr/sbin/nologin callsheet \
    && install --directory --owner callsheet --group callsheet /var/lib/callsheet /srv/callsheet /run/callsheet
COPY deploy/image/callsheet-worker /usr/local/bin/
# One file is all programs: it goes by the name that it is called by.
RUN for name in coordinator llm-worker video-worker; do ln --symbolic callsheet "/usr/local/bin/$name"; done
USER callsheet
WORKDIR /var/lib/callsheet
CMD ["callsheet", "--help"]

FROM base AS prebuilt
# Such an engine builds this stage for an image from source, too, where there is no such program: what may be missing is written with a
# `*`, beside something that is there.
COPY deploy/image/callsheet-worker target/image/callsheet* /usr/local/bin/

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package callsheet --features programs

FROM base
COPY --from=build /src/target/release/callsheet /usr/local/bin/
