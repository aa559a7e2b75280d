// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package permissions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// grace is how long a scene may still come about after a refusal. It is no
// measure of the server: what does not depend on the refused request comes about
// in a fraction of it, and what does, never.
const grace = time.Second

// outcome is what became of a run.
type outcome struct {
	refused []string // what the API server refused
	missing string   // the scene that did not come about
}

// play runs the server as an account, scene by scene, until one does not come
// about because something was refused.
func (s *stage) play(t *testing.T, name string, taken permission, scenes []scene) outcome {
	t.Helper()
	s.plays++
	p := &playing{stage: s, namespace: fmt.Sprintf("play-%d", s.plays), seen: &recorder{lagging: len(scenes) == len(lateScenes())}}
	s.reset(t)
	for _, namespace := range []string{p.namespace, p.audited()} {
		s.namespace(t, namespace, map[string]string{"istio-injection": "enabled", "play": namespace})
	}
	stop := p.start(t, name)
	defer func() {
		stop()
		s.clear(t, p)
	}()
	for _, scene := range scenes {
		if scene.act != nil {
			scene.act(t, p)
		}
		if !p.comesAbout(t, scene, taken) {
			return outcome{p.seen.refusals(), scene.name}
		}
	}
	return outcome{refused: p.seen.refusals()}
}

// playing is a run of the server.
type playing struct {
	*stage
	namespace string
	settings  config.WebhookConfig
	seen      *recorder
}

// audited is the namespace of which a policy speaks.
func (p *playing) audited() string {
	return p.namespace + "-audited"
}

func (p *playing) start(t *testing.T, name string) (stop func()) {
	t.Helper()
	settings, err := guard.Settings(t.Context(), t.TempDir())
	require.NoError(t, err)
	settings.Certificates = config.DefaultWebhook().Certificates
	settings.Certificates.Mode = config.CertificatesSelf
	settings.Certificates.Self.Namespace, settings.Certificates.Self.Secret, settings.Certificates.Self.Service = chart.Namespace, secretName, "extauth-guard"
	settings.LeaderElection.Namespace = chart.Namespace
	settings.LeaderElection.LeaseDuration.Duration = 2 * time.Second
	settings.LeaderElection.RenewDeadline.Duration = 1500 * time.Millisecond
	settings.LeaderElection.RetryPeriod.Duration = 200 * time.Millisecond
	settings.Controllers.Guarantee = config.Guarantee{Enabled: true, Namespace: chart.Namespace}
	settings.Module = config.Module{Enabled: true, Namespace: chart.Namespace}
	p.settings = settings
	cluster := p.plane.AsServiceAccount(chart.Namespace, name)
	cluster.Wrap(func(next http.RoundTripper) http.RoundTripper { return p.seen.between(next) })
	manager, err := serve.NewManager(cluster, settings, logr.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// comesAbout waits until a scene has come about, or something was refused and it
// still has not.
func (p *playing) comesAbout(t *testing.T, scene scene, taken permission) bool {
	t.Helper()
	var refused time.Time
	var last string
	came := false
	require.Eventually(t, func() bool {
		if last = scene.done(t.Context(), p); last == "" {
			came = true
			return true
		}
		if refused.IsZero() && slices.Contains(p.seen.refusals(), taken.what()) {
			refused = time.Now()
		}
		return !refused.IsZero() && time.Since(refused) > grace
	}, patience, glance, "%s: neither does it come about, nor is %q refused", scene.name, taken.what())
	return came
}

// recorder sees what a server asks of the API server.
type recorder struct {
	// lagging has the watches of Services and Namespaces deliver nothing, as they do
	// in the moment after an object was created.
	lagging bool

	mu      sync.Mutex
	refused []string
	watched []string
}

func (r *recorder) between(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(asked *http.Request) (*http.Response, error) {
		resolver := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
		info, err := resolver.NewRequestInfo(asked)
		if err != nil {
			return nil, err
		}
		if r.lagging && info.Verb == "watch" && (info.Resource == "services" || info.Resource == "namespaces") {
			return silence(asked), nil
		}
		response, err := next.RoundTrip(asked)
		if err == nil && info.Verb == "watch" && response.StatusCode == http.StatusOK {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.watched = append(r.watched, permission{group: info.APIGroup, resource: info.Resource, verb: info.Verb}.what())
		}
		if err != nil || response.StatusCode != http.StatusForbidden {
			return response, err
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(body))
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refused = append(r.refused, refusal(string(body)))
		return response, nil
	})
}

// refusal is the permission that a refusal speaks of. It is not always that of the
// request: an apply of what is not there needs the verb create besides patch.
func refusal(body string) string {
	found := regexp.MustCompile(`cannot (\w+) resource \\?"([^"\\]+)\\?" in API group \\?"([^"\\]*)`).FindStringSubmatch(body)
	if found == nil {
		return body
	}
	return permission{verb: found[1], resource: found[2], group: found[3]}.what()
}

// refusals are sorted, each once.
func (r *recorder) refusals() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.refused)
	slices.Sort(all)
	return slices.Compact(all)
}

// watches is true once a watch was granted.
func (r *recorder) watches(what permission) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.watched, what.what())
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(asked *http.Request) (*http.Response, error) {
	return f(asked)
}

// silence is a watch on which nothing happens until its client goes.
func silence(asked *http.Request) *http.Response {
	reader, writer := io.Pipe()
	context.AfterFunc(asked.Context(), func() { _ = writer.CloseWithError(io.EOF) }) // it cannot fail
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {asked.Header.Get("Accept")}}, Body: reader, Request: asked,
	}
}
