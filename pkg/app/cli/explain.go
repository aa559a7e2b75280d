// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

type explainFlags struct {
	worldFlags
	requestFlags
	output string
	files  []string
}

func newExplain(streams Streams) *cobra.Command {
	flags := &explainFlags{}
	cmd := &cobra.Command{
		Use:   "explain NAME|NAMESPACE/NAME",
		Short: "Say whether an APIRule is protected, and follow it from host to Pod",
		Long: `Say for each rule of an APIRule of the cluster whether a request must pass an
authorizer, where that comes from, and whether the way from the host to the Pod is
complete: effective Service, what asked for injection, authorizer, Istio CR, mesh
configuration, the authorizer's endpoints, sidecars, and the policies that match.
Every gap has a code and the fix.

The verdict is what holds for whoever sends a request, whatever is declared; it is the
worst of the rules. docs/verdicts.md says what the verdicts mean.

With --request it also follows a request: which rule takes it, which policies decide in
which order, who is asked, and what comes of it. With --filename it reads manifests, and
the cluster only with --live.

Exit code 1 means that the verdict is not Protected.`,
		Example: `  kubectl extauth explain cart -n shop
  kubectl extauth explain cart -n shop --request "GET https://cart.example.com/orders"
  kubectl extauth explain cart -n shop --request "GET http://cart.shop/" --from shop/web
  kubectl extauth explain shop/cart -f deploy/ --authorizers oauth2-proxy
  kubectl extauth explain shop/cart -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams)
		},
	}
	flags.register(cmd, streams.Err)
	cmd.Flags().StringVar(&flags.request, "request", "", "a `request` to follow: \"GET https://host/path\"")
	cmd.Flags().StringVar(&flags.from, "from", internet, "who sends it: internet, or `NAMESPACE/SERVICEACCOUNT` inside the mesh")
	cmd.Flags().StringSliceVar(&flags.headers, "header", nil, "a `NAME=VALUE` that it has; only Host decides about its way")
	cmd.Flags().StringSliceVarP(&flags.files, "filename", "f", nil, "`files` and directories with manifests, or - for standard input, instead of the cluster")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !isAPIRule(args[0]) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return apiruleNames(cmd.Context(), flags.kube), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.Flags().StringVarP(&flags.output, "output", "o", "text", "output `format`: text, json")
	oneOf(cmd, "output", "text", "json")
	return cmd
}

// explanation is all that is known about one APIRule. Its JSON form is API.
type explanation struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Host      string `json:"host"`
	Gateway   string `json:"gateway"`
	// Verdict is the worst of the rules; Why says what makes it so, and Fix what to do.
	Verdict policy.Verdict `json:"verdict"`
	Why     string         `json:"why,omitempty"`
	Fix     string         `json:"fix,omitempty"`
	// Kyma is what Kyma's controller reports.
	Kyma     kymaState     `json:"kyma"`
	Registry registryState `json:"registry"`
	Skipped  policy.Reason `json:"skipped,omitempty"`
	// Policies are the ExtAuthPolicies that match, and how the APIRule stands to
	// them.
	Policies []explainedPolicy `json:"policies"`
	Rules    []explainedRule   `json:"rules"`
	// Findings are those that belong to no rule.
	Findings []explainedFinding `json:"findings"`
	// Request is what becomes of the request that was asked about; nil if none was.
	Request *tracedRequest `json:"request,omitempty"`
}

type explainedPolicy struct {
	Name  string       `json:"name"`
	State policy.State `json:"state"`
}

type kymaState struct {
	State       string `json:"state,omitempty"`
	Description string `json:"description,omitempty"`
	// Unknown says why the state could not be read.
	Unknown string `json:"unknown,omitempty"`
}

type registryState struct {
	Known  bool     `json:"known"`
	Reason string   `json:"reason,omitempty"`
	Origin string   `json:"origin,omitempty"`
	State  string   `json:"state,omitempty"`
	Names  []string `json:"names"`
}

type explainedRule struct {
	Path        string                `json:"path"`
	Methods     []string              `json:"methods"`
	Verdict     policy.Verdict        `json:"verdict"`
	Why         string                `json:"why,omitempty"`
	Strategy    string                `json:"strategy"`
	Service     explainedService      `json:"service"`
	Injection   policy.Reason         `json:"injection,omitempty"`
	AskedBy     string                `json:"askedBy,omitempty"`
	Authorizers []explainedAuthorizer `json:"authorizers"`
	Callers     explainedCallers      `json:"callers"`
	Findings    []explainedFinding    `json:"findings"`
}

type explainedService struct {
	Name     string `json:"name"`
	Port     int64  `json:"port"`
	Exists   bool   `json:"exists"`
	Selector string `json:"selector,omitempty"`
	Sidecars bool   `json:"sidecars"`
}

type explainedAuthorizer struct {
	Name       string `json:"name"`
	Registered bool   `json:"registered"`
	// Mesh says whether the mesh configuration has it: yes, no or unknown.
	Mesh       string `json:"mesh"`
	Service    string `json:"service,omitempty"`
	PathPrefix string `json:"pathPrefix,omitempty"`
	// Backend says how its Service is: ready, not ready, not found or unknown.
	Backend string `json:"backend"`
}

type explainedFinding struct {
	Code     policy.Code     `json:"code"`
	Severity policy.Severity `json:"severity"`
	Path     string          `json:"path"`
	Message  string          `json:"message"`
	Fix      string          `json:"fix"`
}

func (f *explainFlags) run(ctx context.Context, args []string, streams Streams) error {
	if f.output != "text" && f.output != "json" {
		return exit.UsageError(fmt.Errorf("unknown output format %q; known are text, json", f.output))
	}
	key, err := meant(args, f.kube.namespace())
	if err != nil {
		return exit.UsageError(err)
	}
	f.kube.overrides.Context.Namespace = key.Namespace // also the one that is read where not all may be
	request, err := f.parse()
	if err != nil {
		return exit.UsageError(err)
	}
	all, examined, err := f.examine(ctx, key, streams)
	if err != nil {
		return err
	}
	explained := explain(all, examined)
	if explained.Kyma = f.kyma(ctx, examined.View); request != nil {
		explained.Request = f.trace(all, examined, *request)
	}
	if f.output == "json" {
		encoder := json.NewEncoder(streams.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(explained)
	} else {
		err = explained.print(streams.Out, width(streams.Out))
	}
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if explained.Verdict != policy.Protected {
		return errSaid
	}
	return nil
}

// examine finds the APIRule, in the cluster or among the files, and what is known around
// it.
func (f *explainFlags) examine(ctx context.Context, key types.NamespacedName, streams Streams) (*known, *lint.Examined, error) {
	if len(f.files) > 0 {
		return f.examineFiles(ctx, key, streams)
	}
	f.live = true
	all, err := f.gather(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	key.Namespace = all.namespace
	view, exists := all.world.APIRule(key)
	if !exists {
		return nil, nil, exit.UsageError(all.noAPIRule(key))
	}
	return all, all.linter().ExamineStored(ctx, view), nil
}

func (f *explainFlags) examineFiles(ctx context.Context, key types.NamespacedName, streams Streams) (*known, *lint.Examined, error) {
	files, err := manifest.Find(f.files, streams.In)
	if err != nil {
		return nil, nil, exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	all, err := f.gather(ctx, files.List)
	if err != nil {
		return nil, nil, err
	}
	key.Namespace = all.namespace
	var found *lint.Examined
	linter := all.linter()
	err = objects(ctx, files.List, func(_ manifest.File, object manifest.Object) error {
		if one, ok := linter.Examine(ctx, object.Value); ok && found == nil && one.View.NamespacedName() == key {
			found = one
		}
		return nil
	}, exit.UsageError)
	if err == nil && found == nil {
		err = exit.UsageError(fmt.Errorf("there is no APIRule %s in the files", key))
	}
	return all, found, err
}

// kyma reads what Kyma's controller reports about an APIRule. Decisions do not depend on
// it, so the index lacks it.
func (f *explainFlags) kyma(ctx context.Context, view apirule.View) kymaState {
	if !f.live {
		return kymaState{Unknown: "only files were read"}
	}
	object, err := f.readAPIRule(ctx, view.NamespacedName())
	if err != nil {
		return kymaState{Unknown: err.Error()}
	}
	state, _, _ := unstructured.NestedString(object.Object, "status", "state")
	description, _, _ := unstructured.NestedString(object.Object, "status", "description")
	return kymaState{State: bound.Text(state), Description: description}
}

func (f *explainFlags) readAPIRule(ctx context.Context, name types.NamespacedName) (*unstructured.Unstructured, error) {
	config, err := f.kube.config()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	resource := schema.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource}
	return client.Resource(resource).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
}

// explain collects what the policy says and from what it concludes it.
func explain(all *known, examined *lint.Examined) explanation {
	view, facts, injection := examined.View, examined.Facts, examined.Injection
	explained := explanation{
		Namespace: view.Namespace, Name: view.Name, Host: view.Host(), Gateway: view.Gateway,
		Skipped: injection.Skipped, Findings: []explainedFinding{}, Rules: []explainedRule{}, Policies: []explainedPolicy{},
		Registry: registryState{
			Known: facts.Registry.Known, Reason: facts.Registry.Reason, Origin: facts.Registry.Origin,
			State: facts.Registry.State, Names: append([]string{}, facts.Registry.Names()...),
		},
		Verdict: examined.Verdict.Verdict, Why: examined.Verdict.Why, Fix: examined.Verdict.Fix(),
	}
	for _, one := range examined.Assessments {
		explained.Policies = append(explained.Policies, explainedPolicy{one.Policy, one.State})
	}
	for i, rule := range view.Rules {
		one := explainRule(rule, facts)
		one.Verdict, one.Why = examined.Rules[i].Verdict, examined.Rules[i].Why
		one.Callers = all.callers(rule.Service)
		if injection.Skipped == "" {
			one.Injection, one.AskedBy = injection.Outcomes[rule.Index].Reason, injection.Outcomes[rule.Index].From
		}
		explained.Rules = append(explained.Rules, one)
	}
	for _, finding := range examined.Findings {
		if !finding.OfChange() {
			explained.add(finding)
		}
	}
	return explained
}

// add puts a finding to the rule that its path is in.
func (e *explanation) add(finding policy.Finding) {
	one := explainedFinding{
		Code: finding.Code, Severity: finding.Severity, Path: finding.Err.Field,
		Message: strings.TrimSuffix(finding.Err.ErrorBody(), fmt.Sprintf(" [%s]", finding.Code)),
	}
	for _, reference := range policy.References() {
		if reference.Code == finding.Code {
			one.Fix = reference.Fix
		}
	}
	var index int
	if _, err := fmt.Sscanf(finding.Err.Field, "spec.rules[%d]", &index); err == nil && index < len(e.Rules) {
		e.Rules[index].Findings = append(e.Rules[index].Findings, one)
		return
	}
	e.Findings = append(e.Findings, one)
}

func explainRule(rule apirule.Rule, facts policy.Facts) explainedRule {
	service, exists := facts.Services[rule.Service]
	one := explainedRule{
		Path: rule.Path, Methods: append([]string{}, rule.Methods...), Strategy: string(rule.Strategy),
		Service: explainedService{
			Name: rule.Service.String(), Port: rule.ServicePort, Exists: exists, Selector: strings.Join(service.Selector, ","),
			Sidecars: facts.Namespaces[rule.Service.Namespace].Sidecars(),
		},
		Authorizers: []explainedAuthorizer{}, Findings: []explainedFinding{},
	}
	if rule.Strategy == apirule.Open {
		one.Strategy = "none"
	}
	for _, name := range rule.Authorizers {
		entry, registered := facts.Registry.Authorizer(name)
		one.Authorizers = append(one.Authorizers, explainedAuthorizer{
			Name: name, Registered: registered, Mesh: inMesh(facts.Registry, name),
			Service: entry.Service, PathPrefix: entry.PathPrefix, Backend: backendState(facts.Backends, name),
		})
	}
	return one
}

// inMesh says whether the mesh configuration has an authorizer. Unknown is neither.
func inMesh(registry policy.Registry, name string) string {
	switch {
	case !registry.MeshKnown():
		return "unknown"
	case registry.Effective(name):
		return "yes"
	}
	return "no"
}

// backendState says how the Service of an authorizer is.
func backendState(backends map[string]policy.Backend, name string) string {
	backend, known := backends[name]
	switch {
	case !known:
		return "unknown"
	case !backend.Exists:
		return "not found"
	case backend.HasPort && backend.Ready:
		return "ready"
	}
	return "not ready"
}

// print shows the way from the host to the Pod on one screen.
func (e explanation) print(w io.Writer, columns int) error {
	var text strings.Builder
	quote.Fprintf(&text, "APIRule %s/%s: %s\n", e.Namespace, e.Name, verdict(e.Verdict, e.Why))
	if e.Fix != "" {
		quote.Fprintf(&text, "  fix        %s\n", e.Fix)
	}
	quote.Fprintf(&text, "  host       %s at the Gateway %s\n", e.Host, e.Gateway)
	quote.Fprintf(&text, "  kyma       %s\n", e.Kyma)
	if e.Registry.Known {
		state := ""
		if e.Registry.State != "" {
			state = ", which is " + e.Registry.State
		}
		quote.Fprintf(&text, "  registry   %s in %s%s\n", strings.Join(e.Registry.Names, ", "), e.Registry.Origin, state)
	} else {
		quote.Fprintf(&text, "  registry   not known: %s\n", e.Registry.Reason)
	}
	for _, one := range e.Policies {
		quote.Fprintf(&text, "  policy     %s matches: %s\n", one.Name, strings.ToLower(string(one.State)))
	}
	if e.Skipped != "" {
		quote.Fprintf(&text, "  left alone %s: %s\n", e.Skipped, e.Skipped.Text())
	}
	printFindings(&text, e.Findings)
	for i, rule := range e.Rules {
		quote.Fprintf(&text, "\nrule %d  %s %s: %s\n", i, strings.Join(rule.Methods, ","), rule.Path, verdict(rule.Verdict, rule.Why))
		quote.Fprintf(&text, "  strategy   %s\n", rule.Strategy)
		quote.Fprintf(&text, "  service    %s port %d, %s; selects %s; sidecars by namespace: %s\n", rule.Service.Name, rule.Service.Port,
			yes(rule.Service.Exists, "exists", "does not exist"), yes(rule.Service.Selector != "", rule.Service.Selector, "nothing"),
			yes(rule.Service.Sidecars, "yes", "no"))
		if rule.Injection != "" {
			asked := yes(rule.AskedBy != "", rule.AskedBy+" decides", "nobody asks")
			quote.Fprintf(&text, "  injection  %s; %s: %s\n", asked, rule.Injection, rule.Injection.Text())
		}
		for _, one := range rule.Authorizers {
			quote.Fprintf(&text, "  authorizer %s: %s, in the mesh: %s; Service %s: %s\n", one.Name,
				yes(one.Registered, "registered", "not registered"), one.Mesh, yes(one.Service != "", one.Service, "unknown"), one.Backend)
		}
		quote.Fprintf(&text, "  callers    inside the mesh: %s\n", rule.Callers)
		printFindings(&text, rule.Findings)
	}
	e.Request.write(&text)
	_, err := io.WriteString(w, quote.Printed(wrap(text.String(), columns)))
	return err
}

func printFindings(text *strings.Builder, findings []explainedFinding) {
	for _, finding := range findings {
		quote.Fprintf(text, "  %-10s %s: %s\n             %s\n             fix: %s\n", finding.Severity, finding.Code, finding.Path, finding.Message, finding.Fix)
	}
}

// verdict says a verdict and what makes it so.
func verdict(is policy.Verdict, why string) string {
	text := fmt.Sprintf("%s, %s", is, is.Text())
	if why != "" {
		text += ": " + why
	}
	return text
}

// String is what a person reads.
func (k kymaState) String() string {
	switch {
	case k.Unknown != "":
		return "not known: " + k.Unknown
	case k.State == "":
		return "reports no state yet"
	case k.Description == "":
		return k.State
	}
	return k.State + ": " + k.Description
}

func yes(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}
