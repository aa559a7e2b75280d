// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

// Keeper makes the certificate authority and the serving certificate, keeps both
// in one Secret, renews them before they end, and writes the authority into the
// webhook configurations.
//
// Every replica runs one, without a leader: whoever comes first writes the Secret,
// under its resourceVersion, and the others take over what is written. The
// certificate is served from memory, so a renewal needs no restart, and does not
// wait for the kubelet to refresh a volume.
//
// Only objects that exist are written, each under its name, so that the
// permissions can be bound to names.
type Keeper struct {
	Client kubernetes.Interface
	// Secret has to exist; what it holds may be empty.
	Secret types.NamespacedName
	// Configuration is the name of the mutating and of the validating webhook
	// configuration. Either may be absent.
	Configuration string
	// Names are the DNS names by which the webhook is called; at least one.
	Names    []string
	Validity Validity
	Expiry   Expiry
	Clock    clock.WithTicker
	Log      logr.Logger

	mu     sync.RWMutex
	served *tls.Certificate
	key    []byte
}

// retry is how long after a failure it is tried again. Conflicts with another
// replica end sooner, by the watch.
const retry = 2 * time.Second

// patrol is how often everything is looked at without a reason.
const patrol = time.Hour

// NeedLeaderElection is false: every replica has to serve the certificate.
func (*Keeper) NeedLeaderElection() bool {
	return false
}

// GetCertificate is for tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.served == nil {
		return nil, errors.New("there is no certificate yet")
	}
	return k.served, nil
}

// Start works until ctx ends.
func (k *Keeper) Start(ctx context.Context) error {
	watched, err := k.watch(ctx)
	if err != nil {
		return err
	}
	for {
		wait, err := k.sync(ctx, watched)
		if err != nil {
			k.Log.Info("Could not look after the certificate; trying again", "reason", err.Error(), "in", wait.String())
		}
		timer := k.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-watched.changed:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// sync does what is needed now and returns how long to wait before looking again,
// if nothing changes meanwhile.
func (k *Keeper) sync(ctx context.Context, seen *watched) (time.Duration, error) {
	secret, ok := seen.secret()
	if !ok {
		return retry, fmt.Errorf("there is no Secret %s; install the chart, which makes it", k.Secret)
	}
	held := held(secret)
	now := k.Clock.Now()
	what, again := held.next(now, k.Validity, k.Names)
	if what != keep {
		if err := k.write(ctx, secret, held, what, now); err != nil {
			return retry, err
		}
		return retry, nil // the watch brings it back sooner
	}
	if err := k.inject(ctx, seen, held.authorities); err != nil {
		return retry, err
	}
	if err := k.serve(held); err != nil {
		return retry, err
	}
	return min(again.Sub(now), patrol), nil
}

// write carries out an action. Of several replicas one succeeds.
func (k *Keeper) write(ctx context.Context, secret *corev1.Secret, held material, what action, now time.Time) error {
	made, err := held.do(what, now, k.Validity, k.Names)
	if err != nil {
		return err
	}
	secret = secret.DeepCopy()
	secret.Data = map[string][]byte{
		CAFile: made.authorities, caKeyFile: made.caKey, CertificateFile: made.certificate, KeyFile: made.key,
	}
	_, err = k.Client.CoreV1().Secrets(secret.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err):
		return nil // another replica was faster
	case err != nil:
		return fmt.Errorf("writing Secret %s: %w", k.Secret, err)
	}
	k.Log.Info("Renewed", "secret", k.Secret.String(), "what", string(what))
	return nil
}

// serve serves what is held from now on.
func (k *Keeper) serve(held material) error {
	k.mu.RLock()
	same := bytes.Equal(k.key, held.certificate)
	k.mu.RUnlock()
	if same {
		return nil
	}
	pair, err := tls.X509KeyPair(held.certificate, held.key)
	if err != nil {
		return fmt.Errorf("reading the certificate in Secret %s: %w", k.Secret, err)
	}
	k.mu.Lock()
	k.served, k.key = &pair, held.certificate
	k.mu.Unlock()
	k.Expiry.tell(pair)
	k.Log.Info("Serving a certificate", "ends", pair.Leaf.NotAfter)
	return nil
}

func held(secret *corev1.Secret) material {
	return material{
		authorities: secret.Data[CAFile], caKey: secret.Data[caKeyFile],
		certificate: secret.Data[CertificateFile], key: secret.Data[KeyFile],
	}
}
