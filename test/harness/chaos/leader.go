// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
)

// killLeader kills the replica that leads the controllers, without a warning, and
// insists that the other one leads after it and that the audit goes on.
func killLeader(ctx context.Context, w *world) error {
	first, err := w.leader(ctx, w.replicas...)
	if err != nil {
		return err
	}
	other := w.replicas[0]
	if other == first {
		other = w.replicas[1]
	}
	if err := w.kill(ctx, first, other); err != nil {
		return err
	}
	if _, err := w.leader(ctx, other); err != nil {
		return err
	}
	if err := w.audited(ctx); err != nil {
		return err
	}
	return w.revive(ctx, first)
}

// leader waits until one of some replicas holds the Lease.
func (w *world) leader(ctx context.Context, candidates ...*replica) (*replica, error) {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for {
		var holder string
		lease, err := w.typed.CoordinationV1().Leases(metav1.NamespaceDefault).Get(ctx, serve.LeaseName, metav1.GetOptions{})
		if err == nil && lease.Spec.HolderIdentity != nil {
			holder = *lease.Spec.HolderIdentity
		}
		for _, one := range candidates {
			// An identity is host, process and some random letters.
			if strings.Contains(holder, fmt.Sprintf("_%d_", one.process.Process.Pid)) {
				return one, nil
			}
		}
		if stopped := pause(ctx, unaskedPause); stopped != nil {
			return nil, fmt.Errorf("waiting for another leader than %q: %w", holder, errors.Join(stopped, err))
		}
	}
}

// audited changes the policy and waits until the audit has seen it.
func (w *world) audited(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	policy, err := w.policies().Get(ctx, policyName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	exemptions, _, err := unstructured.NestedSlice(policy.Object, "spec", "exemptions")
	if err != nil || len(exemptions) == 0 {
		return errors.Join(err, errors.New("the policy has no exemptions"))
	}
	exemption, _ := exemptions[0].(map[string]any)
	exemption["reason"] = "seen at " + time.Now().Format(time.RFC3339Nano)
	if err := unstructured.SetNestedSlice(policy.Object, exemptions, "spec", "exemptions"); err != nil {
		return err
	}
	policy, err = w.policies().Update(ctx, policy, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("changing the policy: %w", err)
	}
	for {
		now, err := w.policies().Get(ctx, policyName, metav1.GetOptions{})
		if err == nil {
			seen, _, _ := unstructured.NestedInt64(now.Object, "status", "observedGeneration") // 0 until there is one
			if seen >= policy.GetGeneration() {
				return nil
			}
		}
		if stopped := pause(ctx, unaskedPause); stopped != nil {
			return fmt.Errorf("waiting for the audit of the new leader: %w", errors.Join(stopped, err))
		}
	}
}

// kill kills a replica without a warning. Its endpoint stays for a moment, as
// that of a Pod does until the kubelet has noticed, and then only the other one
// is asked.
func (w *world) kill(ctx context.Context, one, other *replica) error {
	return w.load.breaks.during(func() error {
		if err := one.end(syscall.SIGKILL); err != nil {
			return err
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
		w.service.use(other.address())
		return nil
	})
}

// revive starts a replica again and lets it be asked.
func (w *world) revive(ctx context.Context, one *replica) error {
	if err := one.start(ctx); err != nil {
		return err
	}
	w.service.use(w.addresses()...)
	return nil
}
