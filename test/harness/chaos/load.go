// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
)

const (
	// unaskedPause is how long a worker waits after a request that the API server
	// did not answer: one that starts is not helped by more of them.
	unaskedPause = 20 * time.Millisecond
	// recovery is the longest that a fault may keep admission from answering after
	// it is over.
	recovery = time.Minute
)

// answer is what became of a request, seen from outside.
type answer string

const (
	// right: what the rules say.
	right answer = "right"
	// failed: refused although it should have been admitted, because somebody
	// could not be asked, although a replica was there. It is safe, and a nuisance.
	failed answer = "failed"
	// lost: failed, but under way when the replica that had it was killed or its
	// connection was cut, or sent to it before anybody could know. Nobody can answer
	// such a request: the API server asks a webhook once.
	lost answer = "lost"
	// wrong: admitted unprotected, or refused or changed in a way that the rules
	// do not say. It must never happen.
	wrong answer = "wrong"
	// unasked: the API server itself did not answer, so there was no admission.
	unasked answer = "unasked"
)

// tally counts answers.
type tally struct {
	counts   [5]atomic.Int64
	mu       sync.Mutex
	examples []string
}

func (t *tally) add(a answer, detail string) {
	for i, kind := range []answer{right, failed, wrong, unasked, lost} {
		if kind == a {
			t.counts[i].Add(1)
		}
	}
	if a != wrong && a != failed {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.examples) < 5 {
		t.examples = append(t.examples, string(a)+": "+detail)
	}
}

// admissions is how many requests admission answered so far.
func (t *tally) admissions() int64 {
	return t.counts[0].Load() + t.counts[1].Load() + t.counts[2].Load() + t.counts[4].Load()
}

// result is what the load saw during one fault.
func (t *tally) result(fault string) Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Result{
		Fault: fault, Right: t.counts[0].Load(), Failed: t.counts[1].Load(), Wrong: t.counts[2].Load(), Unasked: t.counts[3].Load(), Lost: t.counts[4].Load(),
		Examples: t.examples,
	}
}

// load sends a steady stream of requests. Each is one of the cases, chosen at
// random, and its answer is compared with what the case says.
type load struct {
	client  dynamic.ResourceInterface
	tally   atomic.Pointer[tally]
	unknown atomic.Bool // while the registry may be unknown to a replica
	clocks  atomic.Pointer[clocks]
	serial  atomic.Int64
	breaks  breaks
}

func newLoad(client dynamic.Interface) *load {
	apirules := schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
	l := &load{client: client.Resource(apirules).Namespace(namespace)}
	l.tally.Store(&tally{})
	l.clocks.Store(&clocks{onTime})
	return l
}

// run sends requests with so many workers until ctx ends.
func (l *load) run(ctx context.Context, workers int) {
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker))) //nolint:gosec // a load, not a secret
			for ctx.Err() == nil {
				one, next := cases[random.IntN(len(cases))], cases[random.IntN(len(cases))]
				l.request(ctx, one, next, random.IntN(4) == 0)
			}
		})
	}
	all.Wait()
}

// request sends a create: a dry run, or a real one, after which the object is made
// another case by an update, and deleted again. The case with an exemption has one
// name for all workers and is never stored.
func (l *load) request(ctx context.Context, one, next testCase, stored bool) {
	object := one.object(fmt.Sprintf("load-%d", l.serial.Add(1)))
	if !stored || one.exempt {
		l.ask(ctx, one, func() (*unstructured.Unstructured, error) {
			return l.client.Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		})
		return
	}
	made := l.ask(ctx, one, func() (*unstructured.Unstructured, error) {
		return l.client.Create(ctx, object, metav1.CreateOptions{})
	})
	if made == nil {
		return
	}
	if next.name != one.name && !next.exempt {
		changed := next.object(object.GetName())
		changed.SetResourceVersion(made.GetResourceVersion())
		l.ask(ctx, next, func() (*unstructured.Unstructured, error) {
			return l.client.Update(ctx, changed, metav1.UpdateOptions{})
		})
	}
	l.remove(ctx, object.GetName())
}

// ask sends one request, judges the answer and counts it. It returns what was
// stored, or nil.
func (l *load) ask(ctx context.Context, one testCase, send func() (*unstructured.Unstructured, error)) *unstructured.Unstructured {
	counted, clocks, begun := l.tally.Load(), l.clocks.Load(), time.Now()
	result, err := send()
	if ctx.Err() != nil {
		return nil
	}
	verdict, detail := l.judge(one.by(clocks.say), result, err)
	if now := l.clocks.Load(); verdict == wrong && (now != clocks || now.say == between) {
		// They were being moved, so either may be right.
		for _, say := range []reading{onTime, ahead} {
			if other, _ := l.judge(one.by(say), result, err); other != wrong {
				verdict = other
			}
		}
	}
	if verdict == failed && l.breaks.since(begun) {
		verdict = lost
	}
	counted.add(verdict, one.name+": "+detail)
	if verdict == unasked {
		_ = pause(ctx, unaskedPause) // the end of ctx is seen by run
	}
	if err != nil {
		return nil
	}
	return result
}

// remove deletes an object; while the API server is away it tries again.
func (l *load) remove(ctx context.Context, name string) {
	for ctx.Err() == nil {
		err := l.client.Delete(ctx, name, metav1.DeleteOptions{})
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		_ = pause(ctx, unaskedPause)
	}
}

// answered waits until admission answered one more request than so far. An API
// server that came back lets requests through only when its own caches are
// filled, which takes longer the busier the machine is; what the load sees
// before that says nothing about the time after the fault.
func (l *load) answered(ctx context.Context, counted *tally) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for before := counted.admissions(); counted.admissions() == before; {
		if err := pause(ctx, unaskedPause); err != nil {
			return fmt.Errorf("waiting until admission answers again: %w", err)
		}
	}
	return nil
}

// judge compares an answer with what the rules say, without asking the code
// that made it.
func (l *load) judge(one testCase, stored *unstructured.Unstructured, err error) (answer, string) {
	switch {
	case err == nil && one.refusal != "":
		return wrong, "admitted"
	case err == nil:
		if problem := one.unlike(stored); problem != "" {
			return wrong, problem
		}
		return right, ""
	case noAPIServer(err):
		return unasked, ""
	case one.refusal != "" && strings.Contains(err.Error(), one.refusal):
		return right, ""
	case l.unknown.Load() && cannotTell(one, err):
		return right, ""
	case safe(err):
		return failed, err.Error()
	}
	return wrong, err.Error()
}

// cannotTell is true for the answer without an Istio CR: 503, unless there is another
// reason to refuse what has to be refused, such as a conflict with what another
// worker of the load has stored.
func cannotTell(one testCase, err error) bool {
	return strings.Contains(err.Error(), "[RegistryUnknown]") && (one.refusal != "" || apierrors.IsServiceUnavailable(err))
}

// safe is true for a refusal because a webhook could not be asked: by the
// validating webhook, whose policy is to fail; by the CRD, because the mutating
// webhook was left out; or by the validating webhook, because it was left out.
func safe(err error) bool {
	for _, text := range []string{"failed calling webhook", "One of the following fields must be set", "[InjectionMissing]"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// noAPIServer is true where the API server itself was not there, or ended while
// it was asked, or has no etcd.
func noAPIServer(err error) bool {
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		strings.Contains(err.Error(), "http2: client connection lost") || strings.Contains(err.Error(), "etcdserver:") ||
		strings.Contains(err.Error(), "apiserver is shutting down")
}
