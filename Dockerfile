# syntax=docker/dockerfile:1
# The image of the installer and the agent. docs/releases.md describes how to build it. scripts/build-image.sh builds the same
# image without a container engine: the files come from the same script, the settings from the last stage of this file.
#
# Base images are pinned by tag. To pin their contents too, append the digest that `docker buildx imagetools inspect
# <image>` prints: node:26.10.0-bookworm-slim@sha256:…

FROM node:26.10.0-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev musl-tools && rm -rf /var/lib/apt/lists/*
WORKDIR /waymark
RUN chown node:node /waymark
USER node
COPY --chown=node:node package.json package-lock.json .npmrc ./
RUN npm ci
COPY --chown=node:node . .
RUN bash scripts/build.sh
USER root
# There is no git in here, so the caller passes the commit and its time.
ARG REVISION
ARG SOURCE_DATE_EPOCH
RUN apt-get update && bash scripts/image-root.sh dist /image

FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
ARG SOURCE=https://github.com/waymark-cni/waymark
LABEL org.opencontainers.image.title="waymark" \
      org.opencontainers.image.description="Chained CNI plugins that add static routes and predictable interface names to Kubernetes pods, all or nothing" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
ENV PATH=/opt/waymark/bin
# No USER: the installer writes into folders of the node that root owns, and the agent enters network namespaces. The
# DaemonSet removes root's other privileges (read-only root, few capabilities). The build stage does not run as root.
WORKDIR /
ENTRYPOINT ["/opt/waymark/bin/waymark"]
