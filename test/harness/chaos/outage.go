// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	policies "github.com/extauth-guard/extauth-guard/test/harness/guarantee"
)

// OutageResult is what became of writes while no replica was there at all, and the API
// server's own policies kept the promises.
type OutageResult struct {
	// Right were answered as the promises say.
	Right int64
	// Broken were admitted although that breaks a promise.
	Broken int64
	// Refused were refused although they were right.
	Refused int64
	// Unasked were not answered by the API server.
	Unasked int64
	// Examples are the first answers that were not right.
	Examples []string
}

// Writes is the number of requests that admission answered.
func (r OutageResult) Writes() int64 { return r.Right + r.Broken + r.Refused }

// Err says what must not be; nil if nothing is.
func (r OutageResult) Err() error {
	if r.Broken+r.Refused > 0 {
		return fmt.Errorf("with all replicas down, %d writes broke a promise and %d that were right were refused: %q", r.Broken, r.Refused, r.Examples)
	}
	return nil
}

// Print writes the result as a line.
func (r OutageResult) Print(to io.Writer) error {
	_, err := fmt.Fprintf(to, "all replicas down: %d writes, %d right, %d broke a promise, %d refused that were right\n", r.Writes(), r.Right, r.Broken, r.Refused)
	return err
}

// Outage has two replicas tell the API server's policies about the cluster, as they do
// in a cluster, kills both, and sends at least so many writes while none is there.
func Outage(ctx context.Context, writes int64, workers int) (result OutageResult, err error) {
	w, err := build(ctx, options{
		before: func(ctx context.Context, w *world) error {
			return policies.Install(ctx, w.plane.Config(), namespace, nil)
		},
		change: func(settings *config.WebhookConfig) {
			settings.Controllers.Guarantee = config.Guarantee{Enabled: true, Namespace: chart.Namespace}
		},
	})
	if err != nil {
		return OutageResult{}, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.told(ctx); err != nil {
		return OutageResult{}, err
	}
	if err := w.ignoreFailures(ctx); err != nil {
		return OutageResult{}, err
	}
	w.service.use()
	for _, one := range w.replicas {
		if err := one.end(syscall.SIGKILL); err != nil {
			return OutageResult{}, err
		}
	}
	if err := w.without(ctx); err != nil {
		return OutageResult{}, err
	}
	o := &outage{load: w.load, limit: writes}
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() { o.run(ctx, rand.New(rand.NewPCG(2, uint64(worker)))) }) //nolint:gosec // a load, not a secret
	}
	all.Wait()
	return o.result, ctx.Err()
}

// told waits until the leader has published what it knows.
func (w *world) told(ctx context.Context) error {
	var last any
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		object, err := w.typed.CoreV1().ConfigMaps(chart.Namespace).Get(ctx, guarantee.ConfigMap, metav1.GetOptions{})
		if err != nil {
			last = err
			return false, nil //nolint:nilerr // shown if it never works
		}
		last = object.Data
		policy, err := w.policies().Get(ctx, policyName, metav1.GetOptions{})
		if err != nil {
			last = err
			return false, nil //nolint:nilerr // the same
		}
		_, seen, _ := unstructured.NestedSlice(policy.Object, "status", "guarantee", "frontends")
		return object.Data[guarantee.Authorizers] != "" && seen, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the leader tells the policies about the cluster: %w; last seen: %v", err, last)
	}
	return nil
}

// ignoreFailures makes the webhooks what they are by default with the guarantee.
func (w *world) ignoreFailures(ctx context.Context) error {
	api := w.typed.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	object, err := api.Get(ctx, webhook.ConfigurationName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for i := range object.Webhooks {
		object.Webhooks[i].FailurePolicy = new(admissionregistrationv1.Ignore)
	}
	_, err = api.Update(ctx, object, metav1.UpdateOptions{})
	return err
}

// without waits until the API server no longer insists on the webhooks.
func (w *world) without(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		one := testCase{rules: []any{rule(extAuth("oauth2-proxy"))}}
		_, last = w.load.client.Create(ctx, one.object("probe"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the webhooks are ignored: %w", errors.Join(err, last))
	}
	return nil
}

// outage sends writes and counts what became of them.
type outage struct {
	*load
	limit, sent int64

	mu     sync.Mutex
	result OutageResult
}

func (o *outage) run(ctx context.Context, random *rand.Rand) {
	all := outageCases()
	for ctx.Err() == nil && atomic.LoadInt64(&o.sent) < o.limit {
		one, next := all[random.IntN(len(all))], all[random.IntN(len(all))]
		object := one.object(fmt.Sprintf("outage-%d", o.serial.Add(1)))
		if one.exempt || random.IntN(3) > 0 {
			o.send(one, func() (*unstructured.Unstructured, error) {
				return o.client.Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			})
			continue
		}
		made := o.send(one, func() (*unstructured.Unstructured, error) {
			return o.client.Create(ctx, object, metav1.CreateOptions{})
		})
		if made == nil {
			continue
		}
		if !next.exempt && next.name != one.name {
			changed := next.object(object.GetName())
			changed.SetResourceVersion(made.GetResourceVersion())
			o.send(next, func() (*unstructured.Unstructured, error) {
				return o.client.Update(ctx, changed, metav1.UpdateOptions{})
			})
		}
		o.remove(ctx, object.GetName())
	}
}

// send sends one write and counts the answer. It returns what was stored, or nil.
func (o *outage) send(one testCase, send func() (*unstructured.Unstructured, error)) *unstructured.Unstructured {
	stored, err := send()
	o.mu.Lock()
	defer o.mu.Unlock()
	count, problem := o.judge(one, stored, err)
	*count++
	atomic.AddInt64(&o.sent, 1)
	if problem != "" && len(o.result.Examples) < 5 {
		o.result.Examples = append(o.result.Examples, one.name+": "+problem)
	}
	if err != nil {
		return nil
	}
	return stored
}

// judge returns where an answer counts, and what is wrong with it.
func (o *outage) judge(one testCase, stored *unstructured.Unstructured, err error) (count *int64, problem string) {
	switch {
	case err != nil && (noAPIServer(err) || errors.Is(err, context.Canceled)):
		return &o.result.Unasked, ""
	case err != nil && one.stored != "" && !one.injected:
		return &o.result.Refused, "refused: " + err.Error()
	case err != nil:
		return &o.result.Right, ""
	case one.refusal != "":
		return &o.result.Broken, "admitted"
	}
	if unlike := one.unlike(stored); unlike != "" {
		return &o.result.Broken, unlike
	}
	return &o.result.Right, ""
}

// outageCases are those of the load, and what only policies by parameters refuse.
func outageCases() []testCase {
	return append([]testCase{
		{
			name:    "what a policy requires is refused without",
			rules:   []any{rule(map[string]any{"noAuth": true})},
			refusal: "[PolicyViolation]", required: true,
		},
		{
			name:     "what a policy requires is admitted",
			rules:    []any{rule(extAuth("oauth2-proxy"))},
			stored:   `[{"extAuth":{"authorizers":["oauth2-proxy"]},"methods":["GET"],"path":"/*"}]`,
			required: true,
		},
		{
			name:        "a jwt stays, whatever the annotation asks for",
			annotations: map[string]any{"extauth-guard.io/inject": "true", "extauth-guard.io/replace": "noAuth"},
			rules:       []any{rule(map[string]any{"jwt": map[string]any{"authentications": []any{map[string]any{"issuer": "https://i", "jwksUri": "https://i/k"}}}})},
			stored:      `[{"jwt":{"authentications":[{"issuer":"https://i","jwksUri":"https://i/k"}]},"methods":["GET"],"path":"/*"}]`,
		},
	}, cases...)
}
