// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var errWrong = errors.New("the wrong answer")

// injected says why an APIRule that asks for it does not come back injected.
func (c *cluster) injected(ctx context.Context) error {
	stored, err := c.untyped.Resource(apirules).Namespace(namespace).Create(ctx,
		apirule("load", map[string]any{"extauth-guard.io/inject": "true"}), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	rules, _, err := unstructured.NestedSlice(stored.Object, "spec", "rules")
	if err != nil || len(rules) != 1 {
		return errors.Join(errWrong, err)
	}
	authorizers, _, err := unstructured.NestedStringSlice(rules[0].(map[string]any), "extAuth", "authorizers")
	if err != nil || len(authorizers) != 1 || authorizers[0] != "oauth2-proxy" {
		return fmt.Errorf("%w: authorizers %q", errWrong, authorizers)
	}
	return nil
}

// refused says why an APIRule with a misspelled authorizer is not refused for it.
func (c *cluster) refused(ctx context.Context) error {
	_, err := c.untyped.Resource(apirules).Namespace(namespace).Create(ctx,
		apirule("load", nil, "ouath2-proxy"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil:
		return fmt.Errorf("%w: a misspelled authorizer passes", errWrong)
	case apierrors.IsInvalid(err) && strings.Contains(err.Error(), "oauth2-proxy"):
		return nil
	default:
		return err
	}
}

// tally is what a load saw.
type tally struct {
	mu                     sync.Mutex
	right, unasked         int
	failed, wrong          int
	exampleOf, wrongAnswer string
}

func (l *tally) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var status apierrors.APIStatus
	switch {
	case err == nil:
		l.right++
	case errors.Is(err, errWrong):
		l.wrong++
		l.wrongAnswer = err.Error()
	case !errors.As(err, &status):
		l.unasked++ // the API server did not answer, so nobody was asked
	default:
		l.failed++
		l.exampleOf = err.Error()
	}
}

// under runs disturb while requests go on, and for some requests after it, and
// insists that each was answered as it should be.
func (c *cluster) under(t *testing.T, apiServerStays bool, disturb func(t *testing.T)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	counted := &tally{}
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				for _, try := range []func(context.Context) error{c.injected, c.refused} {
					if err := try(ctx); ctx.Err() == nil {
						counted.add(err)
					}
				}
			}
		})
	}
	right := func() int {
		counted.mu.Lock()
		defer counted.mu.Unlock()
		return counted.right
	}
	require.Eventually(t, func() bool { return right() > 50 }, patience, glance)
	disturb(t)
	before := right()
	require.Eventually(t, func() bool { return right() > before+200 }, patience, glance)
	stop()
	load.Wait()
	t.Logf("%d right, %d failed, %d wrong, %d while the API server did not answer", counted.right, counted.failed, counted.wrong, counted.unasked)
	assert.Zero(t, counted.wrong, counted.wrongAnswer)
	assert.Zero(t, counted.failed, counted.exampleOf)
	if apiServerStays {
		assert.Zero(t, counted.unasked)
	}
}
