// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// A reaper cleans up after a process that could not: a test that ran out of time,
// was interrupted or killed never calls Stop. It is a shell that waits for its
// standard input to end, which it does with the process that holds the other end,
// then kills what wrote its process id to the folder and removes the folder.
type reaper struct {
	cmd  *exec.Cmd
	life io.Closer
}

// reap is deaf to the signals that end the whole foreground group, so that it
// outlives the process it cleans up after. Removing the folder may need a second
// try, while the killed programs are still on their way out.
const reap = `trap '' HUP INT TERM
cat >/dev/null
for f in "$1"/*.pid; do
  if [ -e "$f" ]; then kill -9 "$(cat "$f")" 2>/dev/null; fi
done
for try in 1 2 3 4 5; do
  rm -rf "$1" 2>/dev/null && break
  sleep 1
done
`

// startReaper starts a reaper for a folder.
func startReaper(dir string) (*reaper, error) {
	cmd := exec.Command("/bin/sh", "-c", reap, "reaper", dir) //nolint:noctx // it has to outlive every context
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	return &reaper{cmd: cmd, life: life}, nil
}

// stop ends the reaper. The folder is to be gone by then, with the process ids in
// it, which may belong to others already.
func (r *reaper) stop() error {
	if err := r.life.Close(); err != nil {
		return fmt.Errorf("ending the reaper: %w", err)
	}
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("ending the reaper: %w", err)
	}
	return nil
}

// reapable prepares the folder so that it has etcd and kube-apiserver from assets
// in it, which leave their process ids for the reaper when they are run.
func reapable(dir, assets string) error {
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	wrapper := filepath.Join(root, "test", "harness", "controlplane", "reapable.sh")
	for name, target := range map[string]string{"programs": assets, "etcd": wrapper, "kube-apiserver": wrapper} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("linking to etcd and kube-apiserver: %w", err)
		}
	}
	return nil
}
