# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# The image is nothing but our static programs. Certificate authorities are
# compiled in, so there is no base image that needs repairs. The builder only
# compiles, for every architecture on its own; Dependabot moves its digest, and make
# image-archive packs the same programs without it.
FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26.5@sha256:3aff6657219a4d9c14e27fb1d8976c49c29fddb70ba835014f477e1c70636647 AS build
WORKDIR /src
# Dependencies change less often than the sources.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY cmd cmd
COPY pkg pkg
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir -p /out/etc /out/tmp && chmod 1777 /out/tmp && \
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' > /out/etc/passwd && \
    printf 'root:x:0:\nnonroot:x:65532:\n' > /out/etc/group && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X github.com/extauth-guard/extauth-guard/pkg/version.version=$VERSION" -o /out/ ./cmd/...

FROM scratch
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title=extauth-guard \
      org.opencontainers.image.description="External authorization for Kyma APIRules" \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.source=https://github.com/extauth-guard/extauth-guard \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
COPY --from=build /out/ /
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/webhook"]
