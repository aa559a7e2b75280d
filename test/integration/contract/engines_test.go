// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/audit"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// place is what has to be the same everywhere: the code and the field.
type place struct{ code, field string }

// verdict says how grave each finding is: "deny", "warn" or "report".
type verdict map[place]string

// admitted is what the API server answered.
type admitted struct {
	verdict verdict
	stored  *unstructured.Unstructured
	err     error
}

// known is true for codes of this project; others are the API server's own words.
func known(code string) bool {
	for _, one := range policy.References() {
		if string(one.Code) == code {
			return true
		}
	}
	return false
}

// warnings collects those of one request.
type warnings []string

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

// impatient hides from the client that it should come back after a 503.
type impatient struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (i impatient) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := i.RoundTripper.RoundTrip(request)
	if response != nil {
		response.Header.Del("Retry-After")
	}
	return response, err
}

// admit writes the last manifest as a dry run, as kubectl apply does.
func (s *stage) admit(ctx context.Context, config *rest.Config, object *unstructured.Unstructured) admitted {
	var said warnings
	config = rest.CopyConfig(config)
	config.QPS, config.WarningHandler = -1, &said
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return impatient{next} })
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return admitted{err: err}
	}
	answer := admitted{verdict: verdict{}}
	answer.stored, answer.err = s.at(client, object).Apply(ctx, object.GetName(), object,
		metav1.ApplyOptions{FieldManager: "test", Force: true, DryRun: []string{metav1.DryRunAll}})
	for _, text := range said {
		code, rest, _ := strings.Cut(text, ": ")
		if field, _, _ := strings.Cut(rest, ": "); known(code) {
			answer.verdict[place{code, field}] = "warn"
		}
	}
	var status apierrors.APIStatus
	if !errors.As(answer.err, &status) || status.Status().Details == nil {
		return answer
	}
	for _, cause := range status.Status().Details.Causes {
		if code := codeIn(cause.Message); known(code) {
			answer.verdict[place{code, cause.Field}] = "deny"
		}
	}
	return answer
}

// codeIn returns the code at the end of a sentence.
func codeIn(message string) string {
	match := regexp.MustCompile(`\[([A-Z]\w+)\]$`).FindStringSubmatch(message)
	if match == nil {
		return ""
	}
	return match[1]
}

// run runs kubectl-extauth as it ships, apart from the process.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return exit.Code(err), out.String(), errs.String()
}

// lintLive asks lint about the last manifest, and the cluster about the rest.
func (s *stage) lintLive(t *testing.T, f fixture) verdict {
	t.Helper()
	code, stdout, stderr := run(t, f.lastText, "lint", "-", "--live", "--strict", "--kubeconfig", s.kubeconfig, "-o", "json")
	return readLint(t, f, "stdin", code, stdout, stderr)
}

// lintOffline asks lint about the manifests alone, those of the cluster included.
func (s *stage) lintOffline(t *testing.T, f fixture) verdict {
	t.Helper()
	given := filepath.Join(t.TempDir(), "world.yaml")
	require.NoError(t, os.WriteFile(given, []byte(worldText(t, f.given != "no Istio CR")), 0o600))
	code, stdout, stderr := run(t, "", "lint", given, f.file, "--strict", "-o", "json")
	return readLint(t, f, f.file, code, stdout, stderr)
}

func readLint(t *testing.T, f fixture, file string, code int, stdout, stderr string) verdict {
	t.Helper()
	require.NotEqual(t, exit.Usage, code, stderr)
	var printed struct{ Findings []lint.Finding }
	require.NoError(t, json.Unmarshal([]byte(stdout), &printed), "%s%s", stdout, stderr)
	found := verdict{}
	for _, one := range printed.Findings {
		if one.File == file && one.Kind == f.last.GetKind() && one.Namespace == f.last.GetNamespace() && one.Name == f.last.GetName() {
			found[place{one.Code, one.Path}] = string(one.Severity)
		}
	}
	return found
}

// store writes the last manifest as inject prints it, by a writer whom the
// webhooks never hear of, so that also what they refuse can be audited. It is
// false if the API server refuses it by itself.
func (s *stage) store(t *testing.T, f fixture) bool {
	t.Helper()
	text := f.lastText
	if f.given != "no mutating webhook" {
		_, text, _ = run(t, text, "inject", "-", "--live", "--kubeconfig", s.kubeconfig)
	}
	object := kyma.Object(t, text)
	_, err := s.at(s.unseen, object).Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true})
	if apierrors.IsInvalid(err) {
		return false
	}
	require.NoError(t, err)
	return true
}

// settings are those of an installation that configures nothing.
func settings() policy.Settings {
	choices := policy.DefaultSettings()
	choices.ExcludedNamespaces = map[string]bool{}
	for _, name := range policy.SystemNamespaces() {
		choices.ExcludedNamespaces[name] = true
	}
	return choices
}

// audit runs the audit once over what is stored and returns what the PolicyReport
// says about the last manifest.
func (s *stage) audit(t *testing.T, f fixture) verdict {
	t.Helper()
	reports := s.Untyped.Resource(schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}).Namespace(f.last.GetNamespace())
	if err := reports.Delete(t.Context(), audit.ReportName, metav1.DeleteOptions{}); err != nil {
		require.True(t, apierrors.IsNotFound(err), "%v", err)
	}
	source, err := cluster.New(s.Plane.Config())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- source.Start(ctx) }()
	until(t, "the cluster is read", func(context.Context) (string, bool) {
		err := source.Synced()
		return "", err == nil
	})
	registry := prometheus.NewRegistry()
	measured, err := metrics.NewAudit(registry)
	require.NoError(t, err)
	auditor := audit.New(audit.Options{
		Metrics: measured, World: source.World(), Untyped: s.Untyped, Discovery: s.Typed.Discovery(), Recorder: events.NewFakeRecorder(1000),
		Settings: settings, Period: time.Hour, Now: time.Now, Log: logr.Discard(),
	})
	go func() { ended <- auditor.Start(ctx) }()
	var report *unstructured.Unstructured
	until(t, "the audit writes its report", func(ctx context.Context) (string, bool) {
		var err error
		report, err = reports.Get(ctx, audit.ReportName, metav1.GetOptions{})
		return "", err == nil
	})
	s.hosts = hostsByVerdict(t, registry, f.last.GetNamespace())
	stop()
	assert.NoError(t, <-ended)
	assert.NoError(t, <-ended)
	return readReport(t, f, report)
}

func readReport(t *testing.T, f fixture, report *unstructured.Unstructured) verdict {
	t.Helper()
	raw, err := report.MarshalJSON()
	require.NoError(t, err)
	var content struct {
		Results []struct {
			Rule, Result, Message string
			Resources             []struct{ Kind, Namespace, Name string }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &content))
	found := verdict{}
	for _, one := range content.Results {
		require.Len(t, one.Resources, 1)
		if one.Resources[0].Name != f.last.GetName() {
			continue
		}
		field, _, _ := strings.Cut(one.Message, ": ")
		found[place{one.Rule, field}] = one.Result
	}
	return found
}
