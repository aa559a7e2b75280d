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
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

type explainFlags struct {
	worldFlags
	output string
}

func newExplain(streams Streams) *cobra.Command {
	flags := &explainFlags{}
	cmd := &cobra.Command{
		Use:   "explain [apirule] NAME",
		Short: "Say whether an APIRule is protected, and follow it from host to Pod",
		Long: `Say for each rule of an APIRule of the cluster whether a request must pass an
authorizer, where that comes from, and whether the way from the host to the Pod is
complete: effective Service, what asked for injection, authorizer, Istio CR, mesh
configuration, the authorizer's endpoints, sidecars, and the policies that match.
Every gap has a code and the fix.

Exit code 1 means that a rule is not protected or something denies.`,
		Example: `  kubectl extauth explain cart -n shop
  kubectl extauth explain apirule cart -n shop -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVarP(&flags.output, "output", "o", "text", "output `format`: text, json")
	oneOf(cmd, "output", "text", "json")
	return cmd
}

// explanation is all that is known about one APIRule. Its JSON form is API.
type explanation struct {
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	Host      string        `json:"host"`
	Gateway   string        `json:"gateway"`
	Protected bool          `json:"protected"`
	Registry  registryState `json:"registry"`
	Skipped   policy.Reason `json:"skipped,omitempty"`
	// Policies are the ExtAuthPolicies that match, and how the APIRule stands to
	// them.
	Policies []explainedPolicy `json:"policies"`
	Rules    []explainedRule   `json:"rules"`
	// Findings are those that belong to no rule.
	Findings []explainedFinding `json:"findings"`
}

type explainedPolicy struct {
	Name  string       `json:"name"`
	State policy.State `json:"state"`
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
	Protected   bool                  `json:"protected"`
	Strategy    string                `json:"strategy"`
	Service     explainedService      `json:"service"`
	Injection   policy.Reason         `json:"injection,omitempty"`
	AskedBy     string                `json:"askedBy,omitempty"`
	Authorizers []explainedAuthorizer `json:"authorizers"`
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
	Effective  bool   `json:"effective"`
	Service    string `json:"service,omitempty"`
	PathPrefix string `json:"pathPrefix,omitempty"`
	Exists     bool   `json:"exists"`
	Ready      bool   `json:"ready"`
}

type explainedFinding struct {
	Code     policy.Code     `json:"code"`
	Severity policy.Severity `json:"severity"`
	Path     string          `json:"path"`
	Message  string          `json:"message"`
	Fix      string          `json:"fix"`
}

func (f *explainFlags) run(ctx context.Context, args []string, streams Streams) error {
	if len(args) == 2 && !strings.HasPrefix(strings.ToLower(args[0]), "apirule") {
		return exit.UsageError(fmt.Errorf("only an apirule can be explained, not a %q", args[0]))
	}
	if f.output != "text" && f.output != "json" {
		return exit.UsageError(fmt.Errorf("unknown output format %q; known are text, json", f.output))
	}
	name := strings.TrimPrefix(args[len(args)-1], "apirule/")
	f.live = true
	all, err := f.gather(ctx, nil)
	if err != nil {
		return err
	}
	defer all.stop()
	key := types.NamespacedName{Namespace: all.namespace, Name: name}
	view, exists := all.world.APIRule(key)
	if !exists {
		return exit.UsageError(fmt.Errorf("there is no APIRule %s", key))
	}
	explained := explain(ctx, all, view)
	if f.output == "json" {
		encoder := json.NewEncoder(streams.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(explained)
	} else {
		err = explained.print(streams.Out)
	}
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if !explained.Protected {
		return errSaid
	}
	return nil
}

// explain collects what the policy says and from what it concludes it.
func explain(ctx context.Context, all *known, view apirule.View) explanation {
	facts := all.source.Facts(ctx, view)
	facts.Now = all.now
	linter := all.linter()
	injection := policy.Inject(view, facts, all.settings)
	findings := linter.CheckStored(ctx, view)
	explained := explanation{
		Namespace: view.Namespace, Name: view.Name, Host: view.Host(), Gateway: view.Gateway,
		Skipped: injection.Skipped, Findings: []explainedFinding{}, Rules: []explainedRule{}, Policies: []explainedPolicy{},
		Registry: registryState{
			Known: facts.Registry.Known, Reason: facts.Registry.Reason, Origin: facts.Registry.Origin,
			State: facts.Registry.State, Names: append([]string{}, facts.Registry.Names()...),
		},
		Protected: len(view.Rules) > 0 && !policy.Denies(findings),
	}
	for _, one := range policy.Assess(view, facts, all.settings) {
		explained.Policies = append(explained.Policies, explainedPolicy{one.Policy, one.State})
	}
	for _, rule := range view.Rules {
		one := explainRule(rule, facts)
		if injection.Skipped == "" {
			one.Injection, one.AskedBy = injection.Outcomes[rule.Index].Reason, injection.Outcomes[rule.Index].From
		}
		explained.Protected = explained.Protected && one.Protected
		explained.Rules = append(explained.Rules, one)
	}
	for _, finding := range findings {
		explained.add(finding)
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
		Path: rule.Path, Methods: append([]string{}, rule.Methods...), Protected: rule.Protected(), Strategy: string(rule.Strategy),
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
		backend := facts.Backends[name]
		one.Authorizers = append(one.Authorizers, explainedAuthorizer{
			Name: name, Registered: registered, Effective: registered && facts.Registry.Effective(name),
			Service: entry.Service, PathPrefix: entry.PathPrefix, Exists: backend.Exists, Ready: backend.Ready,
		})
	}
	return one
}

// print shows the way from the host to the Pod on one screen.
func (e explanation) print(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "APIRule %s/%s: %s\n", e.Namespace, e.Name, verdict(e.Protected))
	fmt.Fprintf(&text, "  host       %s at the Gateway %s\n", e.Host, e.Gateway)
	if e.Registry.Known {
		state := ""
		if e.Registry.State != "" {
			state = ", which is " + e.Registry.State
		}
		fmt.Fprintf(&text, "  registry   %s in %s%s\n", strings.Join(e.Registry.Names, ", "), e.Registry.Origin, state)
	} else {
		fmt.Fprintf(&text, "  registry   not known: %s\n", e.Registry.Reason)
	}
	for _, one := range e.Policies {
		fmt.Fprintf(&text, "  policy     %s matches: %s\n", one.Name, strings.ToLower(string(one.State)))
	}
	if e.Skipped != "" {
		fmt.Fprintf(&text, "  left alone %s: %s\n", e.Skipped, e.Skipped.Text())
	}
	printFindings(&text, e.Findings)
	for i, rule := range e.Rules {
		fmt.Fprintf(&text, "\nrule %d  %s %s: %s\n", i, strings.Join(rule.Methods, ","), rule.Path, verdict(rule.Protected))
		fmt.Fprintf(&text, "  strategy   %s\n", rule.Strategy)
		fmt.Fprintf(&text, "  service    %s port %d, %s; selects %s; sidecars by namespace: %s\n", rule.Service.Name, rule.Service.Port,
			yes(rule.Service.Exists, "exists", "does not exist"), yes(rule.Service.Selector != "", rule.Service.Selector, "nothing"),
			yes(rule.Service.Sidecars, "yes", "no"))
		if rule.Injection != "" {
			asked := yes(rule.AskedBy != "", rule.AskedBy+" decides", "nobody asks")
			fmt.Fprintf(&text, "  injection  %s; %s: %s\n", asked, rule.Injection, rule.Injection.Text())
		}
		for _, one := range rule.Authorizers {
			fmt.Fprintf(&text, "  authorizer %s: %s, %s; Service %s: %s, %s\n", one.Name,
				yes(one.Registered, "registered", "not registered"), yes(one.Effective, "in the mesh", "not in the mesh"),
				yes(one.Service != "", one.Service, "unknown"), yes(one.Exists, "exists", "not found"), yes(one.Ready, "ready", "not ready"))
		}
		printFindings(&text, rule.Findings)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func printFindings(text *strings.Builder, findings []explainedFinding) {
	for _, finding := range findings {
		fmt.Fprintf(text, "  %-10s %s: %s\n             %s\n             fix: %s\n", finding.Severity, finding.Code, finding.Path, finding.Message, finding.Fix)
	}
}

func verdict(protected bool) string {
	return yes(protected, "protected", "NOT protected")
}

func yes(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}
