// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// fault is something that goes wrong while the load runs. run makes it happen
// and returns when it is over and the world is whole again.
type fault struct {
	name string
	run  func(ctx context.Context, w *world) error
	// losses is how many admissions each client of the load may lose each time:
	// none where a replica that can be asked is there for every one.
	losses int64
}

// settle is how long the load goes on after a fault, so that late effects count
// for it.
const settle = time.Second

// lostOnKill is one request under way, and one more for a client that finds the
// dead replica again.
const lostOnKill = 2

var faults = []fault{
	{"none", func(ctx context.Context, _ *world) error { return pause(ctx, settle) }, 0},
	{"rolling update", rollingUpdate, 0},
	{"certificate rotated", rotateCertificate, 0},
	{"CA bundle replaced", replaceCABundle, 0},
	{"a webhook killed", killReplica, lostOnKill},
	{"API server restarted", func(ctx context.Context, w *world) error { return w.plane.RestartAPIServer(ctx) }, 0},
	{"leader killed", killLeader, lostOnKill},
	{"etcd slow", slowEtcd, 0},
	{"watch connections cut", cutWatches, 0},
	{"connections to the webhooks cut", cutCalls, lostOnKill},
	{"Istio CR deleted and made again", recreateIstio, 0},
	{"mesh configuration garbage", garbageMesh, 0},
	{"disk full for the certificates", fullDisk, 0},
	{"memory limit close", tightMemory, 0},
	{"clock moved", clockMoved, 0},
	{"flood of bodies", bodyFlood, 0},
	{"storm of commas", commaStorm, 0},
}

// rollingUpdate replaces the replicas one by one, as a Deployment does: the
// endpoint goes first, the process drains, and the next waits for the new one.
func rollingUpdate(ctx context.Context, w *world) error {
	for i, one := range w.replicas {
		w.service.use(w.replicas[1-i].address())
		if err := one.end(syscall.SIGTERM); err != nil {
			return fmt.Errorf("ending a replica: %w; it said last: %s", err, one.lastWords())
		}
		if err := one.start(ctx); err != nil {
			return err
		}
		w.service.use(w.addresses()...)
	}
	return nil
}

// killReplica kills one replica without a warning and starts it again.
func killReplica(ctx context.Context, w *world) error {
	if err := w.kill(ctx, w.replicas[0], w.replicas[1]); err != nil {
		return err
	}
	return w.revive(ctx, w.replicas[0])
}

// rotateCertificate makes a new CA and certificate in the order in which a
// certificate controller does: first both CAs are trusted, then the replicas get
// the certificate, and then the old CA goes.
func rotateCertificate(ctx context.Context, w *world) error {
	oldCA, err := os.ReadFile(filepath.Join(w.certificates, certs.CAFile))
	if err != nil {
		return err
	}
	next := filepath.Join(w.directory, "tls-next")
	if err := certs.WriteLocal(next, time.Now()); err != nil {
		return err
	}
	newCA, err := os.ReadFile(filepath.Join(next, certs.CAFile))
	if err != nil {
		return err
	}
	if err := w.trust(ctx, oldCA, newCA); err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil { // the API server learns by a watch
		return err
	}
	for _, name := range []string{certs.KeyFile, certs.CertificateFile, certs.CAFile} {
		if err := os.Rename(filepath.Join(next, name), filepath.Join(w.certificates, name)); err != nil {
			return err
		}
	}
	for _, one := range w.replicas {
		if err := guard.Presents(ctx, one.settings, newCA); err != nil {
			return err
		}
	}
	return w.trust(ctx, newCA) // another bundle makes the API server connect anew
}

// replaceCABundle writes the configurations again with the same CA behind
// another one that nobody uses.
func replaceCABundle(ctx context.Context, w *world) error {
	ca, err := os.ReadFile(filepath.Join(w.certificates, certs.CAFile))
	if err != nil {
		return err
	}
	other := filepath.Join(w.directory, "tls-other")
	if err := certs.WriteLocal(other, time.Now()); err != nil {
		return err
	}
	unused, err := os.ReadFile(filepath.Join(other, certs.CAFile))
	if err != nil {
		return err
	}
	if err := w.trust(ctx, unused, ca); err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	return w.trust(ctx, ca)
}

// slowEtcd stops etcd for a part of each of ten moments.
func slowEtcd(ctx context.Context, w *world) error {
	for range 10 {
		if err := w.plane.SignalEtcd(syscall.SIGSTOP); err != nil {
			return err
		}
		paused := pause(ctx, 200*time.Millisecond)
		if err := w.plane.SignalEtcd(syscall.SIGCONT); err != nil {
			return err
		}
		if paused != nil {
			return paused
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func cutWatches(ctx context.Context, w *world) error {
	for range 5 {
		w.upstream.cut()
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// noticed is how long an API server on a busy machine may take to see that a connection
// is gone: what it sends on it before that is lost like what was under way.
const noticed = 100 * time.Millisecond

// cutCalls closes the connections between the API server and the replicas: what
// is under way on them fails, as it does when a node dies.
func cutCalls(ctx context.Context, w *world) error {
	err := w.load.breaks.during(func() error {
		w.service.cut()
		return pause(ctx, noticed)
	})
	if err != nil {
		return err
	}
	return pause(ctx, settle)
}

func recreateIstio(ctx context.Context, w *world) error {
	w.load.unknown.Store(true)
	defer w.load.unknown.Store(false)
	// APIRules of the load use the authorizer, so the guard has to be told.
	allow := fmt.Sprintf(`{"metadata":{"annotations":{"extauth-guard.io/allow-removal":"oauth2-proxy@%s"}}}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if _, err := w.istios().Patch(ctx, "default", types.MergePatchType, []byte(allow), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("allowing the removal: %w", err)
	}
	if err := w.istios().Delete(ctx, "default", metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("deleting the Istio CR: %w", err)
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	if err := w.createIstio(ctx); err != nil {
		return err
	}
	return pause(ctx, settle)
}

func garbageMesh(ctx context.Context, w *world) error {
	maps := w.typed.CoreV1().ConfigMaps("istio-system")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Data: map[string]string{"mesh": "\t: {[ not YAML"}}
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("writing the mesh configuration: %w", err)
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	return maps.Delete(ctx, "istio", metav1.DeleteOptions{})
}

// fullDisk leaves files of no length in the certificate directory, as a writer
// does on a full disk. What is served stays the certificate that was read last.
func fullDisk(ctx context.Context, w *world) error {
	kept := map[string][]byte{}
	for _, name := range []string{certs.KeyFile, certs.CertificateFile} {
		content, err := os.ReadFile(filepath.Join(w.certificates, name))
		if err != nil {
			return err
		}
		kept[name] = content
		if err := os.Truncate(filepath.Join(w.certificates, name), 0); err != nil {
			return err
		}
	}
	// Another bundle makes the API server connect anew, so that the certificate is
	// asked for.
	if err := replaceCABundle(ctx, w); err != nil {
		return err
	}
	for name, content := range kept {
		if err := os.WriteFile(filepath.Join(w.certificates, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tightMemory restarts the replicas one by one with a memory limit that the Go
// runtime can barely keep, and afterwards without.
func tightMemory(ctx context.Context, w *world) error {
	for _, environ := range [][]string{{"GOMEMLIMIT=24MiB"}, nil} {
		for _, one := range w.replicas {
			one.environ = environ
		}
		if err := rollingUpdate(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// pause lets the load run on for a while.
func pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
