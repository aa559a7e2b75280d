// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/crd"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// recorder keeps what a linter prints.
type recorder struct {
	findings []lint.Finding
	closed   int
}

func (r *recorder) Print(finding lint.Finding) error {
	r.findings = append(r.findings, finding)
	return nil
}

func (r *recorder) Close(lint.Summary) error {
	r.closed++
	return nil
}

func now() time.Time { return time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC) }

// run lints files of testdata.
func run(t *testing.T, linter lint.Linter, printer lint.Printer, names ...string) lint.Summary {
	t.Helper()
	paths := make([]string, 0, len(names))
	for _, name := range names {
		if !filepath.IsAbs(name) {
			name = filepath.Join("testdata", name)
		}
		paths = append(paths, name)
	}
	files, err := manifest.Find(paths, nil)
	require.NoError(t, err)
	world := facts.NewWorld("no Istio CR was given")
	linter.Settings = policy.DefaultSettings()
	linter.Namespace = "default"
	linter.Source = world
	linter.Now = now()
	require.NoError(t, linter.Collect(t.Context(), files.List, world))
	summary, err := linter.Run(t.Context(), files.List, printer)
	require.NoError(t, err)
	return summary
}

func TestGoldens(t *testing.T) {
	for _, input := range []string{"shop", "clean", "unknown"} {
		for _, format := range lint.Formats() {
			t.Run(input+" as "+format, func(t *testing.T) {
				var out bytes.Buffer
				printer, err := lint.NewPrinter(lint.Format(format), &out, lint.PrintOptions{Version: "1.2.3"})
				require.NoError(t, err)
				run(t, lint.Linter{}, printer, input+".yaml")
				golden := filepath.Join("testdata", input+"."+format+".golden")
				if *update {
					require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				assert.Empty(t, cmp.Diff(string(want), out.String()), "(-golden +got); -update writes it")
			})
		}
	}
}

// Colours are around words and change none.
func TestColours(t *testing.T) {
	var plain, coloured bytes.Buffer
	for _, colour := range []bool{false, true} {
		out := &plain
		if colour {
			out = &coloured
		}
		printer, err := lint.NewPrinter(lint.Text, out, lint.PrintOptions{Colour: colour})
		require.NoError(t, err)
		run(t, lint.Linter{}, printer, "shop.yaml")
	}
	assert.Contains(t, coloured.String(), "\x1b[1;31mdeny\x1b[0m")
	assert.Contains(t, coloured.String(), "\x1b[1;33mwarn\x1b[0m")
	assert.NotContains(t, plain.String(), "\x1b")
	assert.Equal(t, plain.String(), regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured.String(), ""))
}

// Each format is read by a parser that is not ours and must tell the same as
// the findings themselves.
func TestFormatsTellTheSame(t *testing.T) {
	var want recorder
	summary := run(t, lint.Linter{}, &want, "shop.yaml", "unknown.yaml")
	require.Equal(t, 1, want.closed)
	require.NotEmpty(t, want.findings)
	places := make([]string, 0, len(want.findings))
	for _, finding := range want.findings {
		places = append(places, fmt.Sprintf("%s:%d %s %s", finding.File, finding.Line, finding.Severity, finding.Code))
	}
	parsers := map[lint.Format]func(*testing.T, []byte) []string{
		lint.JSON:   placesOfJSON,
		lint.YAML:   placesOfYAML,
		lint.SARIF:  placesOfSARIF,
		lint.JUnit:  func(t *testing.T, raw []byte) []string { return placesOfJUnit(t, raw, summary) },
		lint.GitHub: placesOfGitHub,
		lint.Text:   placesOfText,
	}
	for _, format := range lint.Formats() {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			printer, err := lint.NewPrinter(lint.Format(format), &out, lint.PrintOptions{Version: "1.2.3"})
			require.NoError(t, err)
			require.Equal(t, summary, run(t, lint.Linter{}, printer, "shop.yaml", "unknown.yaml"))
			assert.Empty(t, cmp.Diff(places, parsers[lint.Format(format)](t, out.Bytes())), "(-want +got)")
		})
	}
}

func placesOfJSON(t *testing.T, raw []byte) []string {
	t.Helper()
	var document struct {
		Findings []struct {
			Code, Severity, File        string
			Line                        int
			Kind, Namespace, Name, Path string
			Message                     string
		}
		Summary map[string]any
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&document))
	assert.Len(t, document.Summary, 6)
	var places []string
	for _, one := range document.Findings {
		assert.NotEmpty(t, one.Message)
		places = append(places, fmt.Sprintf("%s:%d %s %s", one.File, one.Line, one.Severity, one.Code))
	}
	return places
}

func placesOfYAML(t *testing.T, raw []byte) []string {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(raw)
	require.NoError(t, err)
	return placesOfJSON(t, asJSON)
}

func placesOfSARIF(t *testing.T, raw []byte) []string {
	t.Helper()
	document, err := sarif.FromBytes(raw, sarif.WithStrictValidation())
	require.NoError(t, err)
	result, err := gojsonschema.Validate(gojsonschema.NewStringLoader(sarifSchema(t)), gojsonschema.NewBytesLoader(raw))
	require.NoError(t, err)
	assert.Empty(t, result.Errors(), "against the schema of SARIF 2.1.0")
	severities := map[string]string{"error": "deny", "warning": "warn", "note": "report"}
	var places []string
	for _, result := range document.Runs[0].Results {
		location := result.Locations[0].PhysicalLocation
		places = append(places, fmt.Sprintf("%s:%d %s %s", *location.ArtifactLocation.URI, *location.Region.StartLine, severities[result.Level], *result.RuleID))
		rule := document.Runs[0].Tool.Driver.Rules[result.RuleIndex]
		assert.Equal(t, *result.RuleID, *rule.ID)
		assert.NotEmpty(t, *rule.Help.Text)
	}
	return places
}

// sarifSchema returns OASIS's schema. It is taken out of the source of a pinned
// module, which validates only what it has written itself.
func sarifSchema(t *testing.T) string {
	t.Helper()
	found, err := build.Import("github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif", ".", build.FindOnly)
	require.NoError(t, err)
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(found.Dir, "schema.go"), nil, 0)
	require.NoError(t, err)
	literal := file.Scope.Lookup("schema").Decl.(*ast.ValueSpec).Values[0].(*ast.BasicLit)
	text, err := strconv.Unquote(literal.Value)
	require.NoError(t, err)
	require.Contains(t, text, "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema")
	return text
}

func placesOfJUnit(t *testing.T, raw []byte, summary lint.Summary) []string {
	t.Helper()
	var document struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				File    string    `xml:"file,attr"`
				Line    int       `xml:"line,attr"`
				Name    string    `xml:"name,attr"`
				Failure *struct{} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(raw, &document))
	suite := document.Suites[0]
	assert.Equal(t, len(suite.Cases), suite.Tests)
	assert.Equal(t, summary.Deny, suite.Failures)
	skipped := 0
	var places []string
	for _, one := range suite.Cases {
		if one.Skipped != nil {
			skipped++
			continue
		}
		severity := "warn"
		if one.Failure != nil {
			severity = "deny"
		}
		words := strings.Fields(one.Name)
		places = append(places, fmt.Sprintf("%s:%d %s %s", one.File, one.Line, severity, words[len(words)-1]))
	}
	assert.Equal(t, skipped, suite.Skipped)
	return places
}

func placesOfGitHub(t *testing.T, raw []byte) []string {
	t.Helper()
	command := regexp.MustCompile(`^::(error|warning) file=([^,:]+),line=(\d+),col=\d+,title=(\w+)::.+$`)
	severities := map[string]string{"error": "deny", "warning": "warn"}
	var places []string
	for line := range strings.Lines(string(raw)) {
		if match := command.FindStringSubmatch(strings.TrimSuffix(line, "\n")); match != nil {
			places = append(places, fmt.Sprintf("%s:%s %s %s", match[2], match[3], severities[match[1]], match[4]))
		} else {
			assert.Regexp(t, `^::notice title=Not checked::`, line)
		}
	}
	return places
}

func placesOfText(t *testing.T, raw []byte) []string {
	t.Helper()
	var places []string
	for _, match := range regexp.MustCompile(`(?m)^(\S+:\d+):\d+: (\w+) (\w+)`).FindAllStringSubmatch(string(raw), -1) {
		places = append(places, strings.Join(match[1:], " "))
	}
	return places
}

// asked counts who asks for facts.
type asked struct {
	*facts.World
	times map[string]int
}

func (a asked) Facts(ctx context.Context, view apirule.View) policy.Facts {
	a.times[view.Name]++
	return a.World.Facts(ctx, view)
}

// Each fact costs a look at the index, and with --live perhaps a wait.
func TestFactsAreAskedOncePerObject(t *testing.T) {
	text := `
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: cart, namespace: shop, annotations: {extauth-guard.io/inject: "true"}}
spec: {hosts: [cart.example.com], gateway: kyma-system/kyma-gateway, service: {name: cart, port: 80}, rules: [{path: /a, methods: [GET]}, {path: /b, methods: [GET], jwt: {}}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {extauth-guard.io/expose: web.example.com}}
spec: {selector: {app: web}, ports: [{port: 80}]}
`
	files, err := manifest.Find([]string{manifest.Stdin}, strings.NewReader(text))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, files.Close()) })
	source := asked{facts.NewWorld(""), map[string]int{}}
	source.SetIstio(istio.View{Namespace: istio.Namespace, Name: "default", Authorizers: []istio.Authorizer{{Name: "oauth2-proxy", Service: "o.o.svc.cluster.local", Port: 80}}})
	schemas, err := crd.Kyma()
	require.NoError(t, err)
	linter := lint.Linter{Source: source, Settings: policy.DefaultSettings(), Now: now(), Gateway: "kyma-system/kyma-gateway", Schemas: schemas}
	summary, err := linter.Run(t.Context(), files.List, &recorder{})
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"cart": 1, "web": 1}, source.times)
	assert.Equal(t, policy.Tally{policy.Unknown: 2}, summary.Verdicts)
}

func TestStrictMakesADenialOfWhatIsUnchecked(t *testing.T) {
	var lax, strict recorder
	summary := run(t, lint.Linter{}, &lax, "unknown.yaml")
	assert.Empty(t, lax.findings)
	assert.Equal(t, lint.Summary{Objects: 1, APIRules: 1, Files: 1, Unchecked: 1, Reason: "no Istio CR was given", Verdicts: map[policy.Verdict]int{policy.Unknown: 1}}, summary)

	summary = run(t, lint.Linter{Strict: true}, &strict, "unknown.yaml")
	require.Len(t, strict.findings, 1)
	assert.Equal(t, string(policy.RegistryUnknown), strict.findings[0].Code)
	assert.Equal(t, 1, summary.Deny)
}

// A policy that could not be held against an APIRule must not look like one that
// has nothing against it.
func TestPoliciesThatDependOnLabelsNobodyKnows(t *testing.T) {
	const byLabel = "{matchLabels: {zone: public}}"
	const byName = "{matchLabels: {kubernetes.io/metadata.name: shop}}"
	cases := map[string]struct {
		selector, host string
		namespace      string // in the input
		service        bool   // the APIRule is that of a Service
		want           []string
		undecided      int
	}{
		"the Namespace is not in the input":   {selector: byLabel, undecided: 1},
		"nor for the APIRule of a Service":    {selector: byLabel, service: true, undecided: 1},
		"the Namespace has the label":         {selector: byLabel, namespace: "{zone: public}", want: []string{"PolicyViolation"}},
		"the Namespace does not have it":      {selector: byLabel, namespace: "{zone: private}"},
		"the policy is about another host":    {selector: byLabel, host: "other.example.com"},
		"the name is all that matters":        {selector: byName, want: []string{"PolicyViolation"}},
		"another name is all that matters":    {selector: "{matchLabels: {kubernetes.io/metadata.name: other}}"},
		"the policy is about every namespace": {selector: "{}", want: []string{"PolicyViolation"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			host := "*.example.com"
			if tc.host != "" {
				host = tc.host
			}
			input := "apiVersion: extauth-guard.io/v1alpha1\nkind: ExtAuthPolicy\nmetadata: {name: public}\n" +
				"spec: {mode: Enforce, match: {namespaceSelector: " + tc.selector + ", hosts: [\"" + host + "\"]}, require: {authorizers: [other]}}\n---\n"
			if tc.namespace != "" {
				input += "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: " + tc.namespace + "}\n---\n"
			}
			if tc.service {
				input += "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop, annotations: {extauth-guard.io/expose: cart.example.com}}\nspec: {selector: {app: cart}, ports: [{port: 80}]}\n"
			} else {
				input += "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: cart, namespace: shop}\n" +
					"spec: {hosts: [cart.example.com], gateway: kyma-system/kyma-gateway, service: {name: cart, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}\n"
			}
			linted := func(strict bool) (lint.Summary, []string) {
				files, err := manifest.Find([]string{"-"}, strings.NewReader(input))
				require.NoError(t, err)
				defer func() { require.NoError(t, files.Close()) }()
				world := facts.NewWorld("")
				linter := lint.Linter{Source: world, Settings: policy.DefaultSettings(), Now: now(), Strict: strict, Gateway: "kyma-system/kyma-gateway"}
				require.NoError(t, linter.Collect(t.Context(), files.List, world))
				var found recorder
				summary, err := linter.Run(t.Context(), files.List, &found)
				require.NoError(t, err)
				var codes []string
				for _, one := range found.findings {
					if one.Code != string(policy.RegistryUnknown) {
						codes = append(codes, one.Code)
					}
				}
				return summary, codes
			}
			summary, found := linted(false)
			assert.Equal(t, tc.undecided, summary.Undecided)
			assert.Equal(t, tc.want, found)
			if tc.undecided > 0 {
				assert.Equal(t, []string{"shop"}, summary.Namespaces)
				tc.want = append(tc.want, lint.PolicyUndecided)
			}
			summary, found = linted(true)
			assert.Zero(t, summary.Undecided)
			assert.Equal(t, tc.want, found)
		})
	}
}

// Files are not a cluster: only with all of it known, absence means something.
func TestAbsenceMeansSomethingInACompleteWorldOnly(t *testing.T) {
	var offline, complete recorder
	run(t, lint.Linter{}, &offline, "clean.yaml")
	run(t, lint.Linter{Complete: true}, &complete, "clean.yaml")
	assert.Empty(t, offline.findings)
	require.Len(t, complete.findings, 1)
	assert.Equal(t, string(policy.ServiceNotFound), complete.findings[0].Code)
}

func TestUnreadableFilesAreFindingsAndDoNotHideTheNext(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "a.yaml")
	require.NoError(t, os.WriteFile(gone, nil, 0o600))
	broken := filepath.Join(dir, "b.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("a: 1\n---\nb: [x\n---\napiVersion: v1\nkind: Service\nmetadata: {name: x, annotations: {extauth-guard.io/x: z}}\n"), 0o600))
	files, err := manifest.Find([]string{dir}, nil)
	require.NoError(t, err)
	require.NoError(t, os.Remove(gone))
	var got recorder
	summary, err := lint.Linter{Source: facts.NewWorld("")}.Run(t.Context(), files.List, &got)
	require.NoError(t, err)
	assert.Equal(t, 2, summary.Unreadable)
	require.Len(t, got.findings, 3)
	assert.Equal(t, lint.Unreadable, got.findings[0].Code)
	assert.Contains(t, got.findings[0].Message, "no such file")
	assert.Equal(t, []int{3, 4}, []int{got.findings[1].Line, got.findings[1].Column})
	assert.Equal(t, string(policy.InvalidAnnotation), got.findings[2].Code)
}

// The order of documents says nothing: facts may come after what needs them, and
// both of two APIRules in conflict are told.
func TestConflictsAcrossDocuments(t *testing.T) {
	rule := func(name, authorizer string) string {
		return fmt.Sprintf("apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: %s, namespace: a}\n"+
			"spec: {hosts: [%s.example.com], service: {name: s, port: 1}, rules: [{path: /*, methods: [GET]%s}]}\n---\n", name, name, authorizer)
	}
	dir := t.TempDir()
	text := rule("one", ", extAuth: {authorizers: [x]}") + rule("two", "") +
		"apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a, annotations: {extauth-guard.io/authorizers: z}}\nspec: {selector: {a: b}}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(text), 0o600))
	files, err := manifest.Find([]string{dir}, nil)
	require.NoError(t, err)
	world := facts.NewWorld("")
	settings := policy.DefaultSettings()
	require.NoError(t, lint.Linter{Source: world, Settings: settings, Namespace: "default"}.Collect(t.Context(), files.List, world))
	world.SetRegistry(policy.StaticRegistry("--authorizers", []string{"x", "z"}))
	var got recorder
	_, err = lint.Linter{Source: world, Settings: settings}.Run(t.Context(), files.List, &got)
	require.NoError(t, err)
	var names []string
	for _, finding := range got.findings {
		if finding.Code == string(policy.AuthorizerConflict) {
			names = append(names, finding.Name)
		}
	}
	assert.Equal(t, []string{"one", "two"}, names)
}

// The mutating webhook refuses what Inject cannot read. Lint relies on Check to
// report all of that.
func TestCheckReportsWhatInjectDoes(t *testing.T) {
	view := apirule.Parse(map[string]any{
		"metadata": map[string]any{"name": "a", "annotations": map[string]any{"extauth-guard.io/inject": "perhaps"}},
		"spec":     map[string]any{"rules": []any{map[string]any{"path": "/"}}},
	}, "shop")
	facts := policy.Facts{Namespaces: map[string]policy.Namespace{"shop": {Annotations: map[string]string{"extauth-guard.io/x": ""}}}}
	injection := policy.Inject(view, facts, policy.DefaultSettings())
	require.Len(t, injection.Findings, 2)
	checked := map[string]bool{}
	for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
		checked[finding.Err.Error()] = true
	}
	for _, finding := range injection.Findings {
		assert.True(t, checked[finding.Err.Error()], finding.Err.Error())
	}
}

// manyAPIRules writes a stream of APIRules that all lead to one Service.
func manyAPIRules(t testing.TB, n int) string {
	t.Helper()
	var text strings.Builder
	for i := range n {
		name := "rule-" + strconv.Itoa(i)
		fmt.Fprintf(&text, "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata:\n  name: %s\n  annotations:\n    extauth-guard.io/inject: \"true\"\n"+
			"spec:\n  hosts: [%s.example.com]\n  service: {name: s, port: 80}\n  rules:\n  - path: /*\n    methods: [GET]\n---\n", name, name)
	}
	path := filepath.Join(t.TempDir(), "many.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

func TestMemoryDoesNotGrowWithTheStream(t *testing.T) {
	heap := func(n int) uint64 {
		files, err := manifest.Find([]string{manyAPIRules(t, n)}, nil)
		require.NoError(t, err)
		world := facts.NewWorld("")
		settings := policy.DefaultSettings()
		require.NoError(t, lint.Linter{Source: world, Settings: settings, Namespace: "default"}.Collect(t.Context(), files.List, world))
		summary, err := lint.Linter{Source: world, Settings: settings}.Run(t.Context(), files.List, &recorder{})
		require.NoError(t, err)
		require.Equal(t, n, summary.Objects)
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		runtime.KeepAlive(world)
		return stats.HeapAlloc
	}
	const few, many, ofHost = 100, 5000, 320 // bytes that a host takes, with who has it
	small := heap(few)
	large := heap(many)
	assert.Less(t, large, small+(many-few)*ofHost, "5,000 documents of 300 bytes leave nothing but their hosts")
}

func BenchmarkThousandFiles(b *testing.B) {
	dir := b.TempDir()
	raw, err := os.ReadFile(filepath.Join("testdata", "clean.yaml"))
	require.NoError(b, err)
	for i := range 1000 {
		require.NoError(b, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)+".yaml"), raw, 0o600))
	}
	files, err := manifest.Find([]string{dir}, nil)
	require.NoError(b, err)
	settings := policy.DefaultSettings()
	for b.Loop() {
		world := facts.NewWorld("")
		require.NoError(b, lint.Linter{Source: world, Settings: settings, Namespace: "default"}.Collect(b.Context(), files.List, world))
		_, err = lint.Linter{Source: world, Settings: settings}.Run(b.Context(), files.List, &recorder{})
		require.NoError(b, err)
	}
}

// ExtAuthPolicies among the manifests decide as they do in a cluster.
func TestPoliciesInTheInput(t *testing.T) {
	var got recorder
	run(t, lint.Linter{}, &got, "policies.yaml")
	var places []string
	for _, finding := range got.findings {
		places = append(places, fmt.Sprintf("%d %s %s %s %s", finding.Line, finding.Severity, finding.Code, finding.Name, finding.Path))
	}
	assert.Empty(t, cmp.Diff([]string{
		"24 deny OptOutForbidden shop metadata.annotations[extauth-guard.io/inject]",
		"35 deny PolicyViolation open spec.rules[0]",
		"28 deny OptOutForbidden open metadata.namespace",
		"57 deny PolicyViolation was-exempt spec.rules[0]",
		"49 deny OptOutForbidden was-exempt metadata.namespace",
	}, places), "(-want +got)")
}

// An identity header that clients can send is told once for the authorizer, unless the
// shield is among the manifests.
func TestAShieldAmongTheManifests(t *testing.T) {
	const cr = "apiVersion: operator.kyma-project.io/v1alpha2\nkind: Istio\nmetadata: {name: default, namespace: kyma-system}\n" +
		"spec: {config: {authorizers: [{name: corp, service: corp.auth.svc.cluster.local, port: 80, pathPrefix: /v,\n" +
		"  headers: {toUpstream: {onAllow: [x-auth-request-user, x-auth-request-user]}}}]}}\n"
	const shield = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shield, namespace: istio-system}\n" +
		"spec: {action: DENY, rules: [{when: [{key: 'request.headers[x-auth-request-user]', values: ['*']}]}]}\n"
	for text, want := range map[string][]string{cr: {string(policy.IdentityHeaderSpoofable)}, cr + shield: nil} {
		file := filepath.Join(t.TempDir(), "cr.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		var got recorder
		summary := run(t, lint.Linter{}, &got, file)
		var codes []string
		for _, finding := range got.findings {
			codes = append(codes, finding.Code)
		}
		assert.Equal(t, want, codes, text)
		assert.Zero(t, summary.Deny)
	}
}

// A Service that asks to be exposed is judged by the APIRule that it would get.
func TestServicesThatAskToBeExposed(t *testing.T) {
	const cr = "---\napiVersion: operator.kyma-project.io/v1alpha2\nkind: Istio\nmetadata: {name: default, namespace: kyma-system}\n" +
		"spec: {config: {authorizers: [{name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: /v}]}}\n"
	const other = "---\napiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: other, namespace: shop}\n" +
		"spec: {hosts: [other], gateway: a/b, service: {name: web, port: 80}, rules: [{path: /*, methods: [GET], extAuth: {authorizers: [corp]}}]}\n"
	for name, tc := range map[string]struct {
		annotations, ports, more string
		namespace                string
		nobody                   bool // no Service is exposed by annotation
		want                     []string
	}{
		"protected":                  {annotations: "extauth-guard.io/expose: web", more: cr},
		"an authorizer with a typo":  {annotations: "extauth-guard.io/expose: web, extauth-guard.io/authorizers: oauth2-prox", more: cr, want: []string{"4 AuthorizerNotRegistered APIRule spec.rules[0].extAuth.authorizers[0]"}},
		"no Istio CR":                {annotations: "extauth-guard.io/expose: web", want: []string{"4 RegistryUnknown APIRule spec.rules[0].extAuth.authorizers[0]"}},
		"another authorizer on Pods": {annotations: "extauth-guard.io/expose: web", more: cr + other, want: []string{"4 AuthorizerConflict APIRule spec.rules[0].extAuth.authorizers[0]", "15 AuthorizerNotRegistered APIRule spec.rules[0].extAuth.authorizers[0]", "15 AuthorizerConflict APIRule spec.rules[0].extAuth.authorizers[0]"}},
		"two ports and no choice":    {annotations: "extauth-guard.io/expose: web", ports: "{port: 80}, {port: 81}", more: cr, want: []string{"4 ServiceNotExposed Service metadata.annotations[extauth-guard.io/expose]"}},
		"opted out at once":          {annotations: `extauth-guard.io/expose: web, extauth-guard.io/inject: "false"`, more: cr, want: []string{"4 ServiceNotExposed Service metadata.annotations[extauth-guard.io/expose]"}},
		"that of an authorizer":      {annotations: "extauth-guard.io/expose: web", namespace: "auth", more: strings.ReplaceAll(cr, "oauth2-proxy.auth", "web.auth"), want: []string{"4 ServiceNotExposed Service metadata.annotations[extauth-guard.io/expose]"}},
		"where nobody exposes":       {annotations: "extauth-guard.io/expose: web, extauth-guard.io/authorizers: oauth2-prox", nobody: true, more: cr},
		"a host that is none":        {annotations: "extauth-guard.io/expose: W_b", more: cr, want: []string{"4 InvalidAnnotation Service metadata.annotations[extauth-guard.io/expose]"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.ports == "" {
				tc.ports = "{port: 80}"
			}
			if tc.namespace == "" {
				tc.namespace = "shop"
			}
			path := filepath.Join(t.TempDir(), "a.yaml")
			require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: %s, annotations: {\n%s}}\nspec: {selector: {app: web}, ports: [%s]}\n%s",
				tc.namespace, tc.annotations, tc.ports, tc.more), 0o600))
			files, err := manifest.Find([]string{path}, nil)
			require.NoError(t, err)
			world := facts.NewWorld("")
			linter := lint.Linter{Source: world, Settings: policy.DefaultSettings(), Now: now(), Strict: true, Gateway: "kyma-system/kyma-gateway"}
			if tc.nobody {
				linter.Gateway = ""
			}
			require.NoError(t, linter.Collect(t.Context(), files.List, world))
			var found recorder
			_, err = linter.Run(t.Context(), files.List, &found)
			require.NoError(t, err)
			var got []string
			for _, one := range found.findings {
				got = append(got, fmt.Sprintf("%d %s %s %s", one.Line, one.Code, one.Kind, one.Path))
			}
			assert.Equal(t, tc.want, got)
		})
	}
}
