// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// reading is what the clocks of the replicas say about the exemption.
type reading string

const (
	// onTime: it holds.
	onTime reading = "on time"
	// ahead: it is over.
	ahead reading = "ahead"
	// between: the replicas are being moved, and may differ.
	between reading = "between"
)

// clocks is a state of the replicas' clocks; another one is another pointer.
type clocks struct{ say reading }

const (
	policyName = "exempting"
	// exemptHosts are those of which the policy speaks.
	exemptHosts = ".exempt.example.com"
	// validity is how long the exemption holds from now on.
	validity = 7 * 24 * time.Hour
)

// clockMoved moves the clocks of both replicas ahead by more than the exemption
// holds, then behind, and then where they were. Replicas that ship cannot be told
// a time, so they are replaced for it by the same server with a movable clock,
// one by one.
func clockMoved(ctx context.Context, w *world) error {
	if err := w.run(ctx, w.movable); err != nil {
		return err
	}
	for _, jump := range []struct {
		by   time.Duration
		then reading
	}{{2 * validity, ahead}, {-2 * validity, onTime}, {2 * validity, ahead}, {0, onTime}} {
		w.load.clocks.Store(&clocks{between})
		for _, one := range w.replicas {
			if err := one.move(jump.by); err != nil {
				return err
			}
		}
		w.load.clocks.Store(&clocks{jump.then})
		if err := pause(ctx, settle); err != nil {
			return err
		}
	}
	return w.run(ctx, w.shipped)
}

// run replaces the replicas by those of another binary.
func (w *world) run(ctx context.Context, binary string) error {
	for _, one := range w.replicas {
		one.binary = binary
	}
	return rollingUpdate(ctx, w)
}

// move moves the clock of a replica with a movable one, and returns when it has
// moved.
func (r *replica) move(by time.Duration) error {
	if _, err := fmt.Fprintln(r.stdin, by); err != nil {
		return fmt.Errorf("moving a clock: %w", err)
	}
	line, err := r.stdout.ReadString('\n')
	if err == nil && strings.TrimSpace(line) != by.String() {
		err = fmt.Errorf("it answered %q", line)
	}
	if err != nil {
		return fmt.Errorf("moving a clock: %w", errors.Join(err, errors.New(r.lastWords())))
	}
	return nil
}

func (w *world) policies() dynamic.ResourceInterface {
	return w.untyped.Resource(schema.GroupVersionResource{Group: "extauth-guard.io", Version: "v1alpha1", Resource: "extauthpolicies"})
}

// createPolicy makes the policy by which an answer depends on the time: its hosts
// must be protected, and one APIRule is exempt for a while.
func (w *world) createPolicy(ctx context.Context) error {
	policy := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "extauth-guard.io/v1alpha1", "kind": "ExtAuthPolicy",
		"metadata": map[string]any{"name": policyName},
		"spec": map[string]any{
			"mode": "Enforce", "match": map[string]any{"hosts": []any{"*" + exemptHosts}}, "require": map[string]any{},
			"exemptions": []any{map[string]any{
				"namespace": namespace, "name": exemptName, "reason": "its clock is looked at", "owner": "chaos",
				"expires": time.Now().UTC().Add(validity).Format(time.DateOnly),
			}},
		},
	}}
	if _, err := w.policies().Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the ExtAuthPolicy: %w", err)
	}
	return nil
}
