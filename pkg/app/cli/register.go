// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/profile"
)

type registerFlags struct {
	worldFlags
	profile, service, domain, output string
	timeout                          time.Duration
	signIn, apply, replace           bool
}

func newRegister(streams Streams) *cobra.Command {
	flags := &registerFlags{}
	cmd := &cobra.Command{
		Use:   "register NAME --profile PROFILE --service NAMESPACE/SERVICE[:PORT]",
		Short: "Print the entry of an authorizer in the Istio CR, or write it",
		Long: `Print the entry that an authorizer needs in spec.config.authorizers of the Istio CR:
its endpoint for Envoy, the headers that have to travel, a timeout. PROFILE is one of
` + strings.Join(profile.Names(), ", ") + `.

Without --apply no cluster is needed, and nothing is changed. With --apply the entry is
added to the active Istio CR, or takes the place of the one with its name; the other
entries stay as they are. What istiod or Kyma's Istio module would not take is refused,
and so is a change of an authorizer that APIRules use, unless --replace is given.`,
		Example: `  kubectl extauth register oauth2-proxy --profile oauth2-proxy --service oauth2-proxy/oauth2-proxy
  kubectl extauth register sso --profile authelia --service auth/authelia:80 --apply
  kubectl extauth register sso --profile authentik --service authentik/ak-outpost-apps -o patch`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), streams, args[0])
		},
	}
	flags.registerCluster(cmd, streams.Err)
	cmd.Flags().StringVar(&flags.profile, "profile", "", "the `product` that answers: "+strings.Join(profile.Names(), ", "))
	cmd.Flags().StringVar(&flags.service, "service", "", "its `Service`, as NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT")
	cmd.Flags().BoolVar(&flags.signIn, "sign-in", false, "people sign in with a browser; only for oauth2-proxy, whose clients bring tokens otherwise")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 5*time.Second, "how long one answer may take, in whole seconds")
	cmd.Flags().StringVar(&flags.domain, "cluster-domain", "cluster.local", "the `domain` of the cluster's Services")
	cmd.Flags().BoolVar(&flags.apply, "apply", false, "write the entry into the active Istio CR")
	cmd.Flags().BoolVar(&flags.replace, "replace", false, "change an authorizer although APIRules use it; with --apply")
	cmd.Flags().StringVarP(&flags.output, "output", "o", "yaml", "output `format`: yaml, patch")
	for _, name := range []string{"profile", "service"} {
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	cmd.MarkFlagsMutuallyExclusive("apply", "output")
	oneOf(cmd, "profile", profile.Names()...)
	oneOf(cmd, "output", "yaml", "patch")
	return cmd
}

func (f *registerFlags) run(ctx context.Context, streams Streams, name string) error {
	if f.output != "yaml" && f.output != "patch" {
		return exit.UsageError(fmt.Errorf("--output is %q; it can be yaml or patch", bound.Text(f.output)))
	}
	if f.replace && !f.apply {
		return exit.UsageError(errors.New("--replace is about the cluster: give --apply as well"))
	}
	entry, err := f.entry(name)
	if err != nil {
		return err
	}
	if err := refusals(policy.CheckIstio(nil, alone(entry), policy.IstioFacts{})); err != nil {
		return err
	}
	if f.apply {
		return f.write(ctx, streams, entry)
	}
	return f.show(streams.Out, entry)
}

// entry returns the entry that the flags ask for.
func (f *registerFlags) entry(name string) (map[string]any, error) {
	form, err := f.form()
	if err != nil {
		return nil, err
	}
	namespace, service, port, err := serviceOf(f.service, form.Port)
	if err != nil {
		return nil, exit.UsageError(err)
	}
	return form.Entry(name, service+"."+namespace+".svc."+f.domain, port, f.timeout.String()), nil
}

// form returns the profile that is meant.
func (f *registerFlags) form() (profile.Profile, error) {
	form, known := profile.Find(f.profile)
	if !known {
		hint := ""
		if near := suggest.Nearest(f.profile, profile.Names()); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return profile.Profile{}, exit.UsageError(fmt.Errorf("there is no profile %q; there are: %s%s", bound.Text(f.profile), strings.Join(profile.Names(), ", "), hint))
	}
	if why := policy.RefuseProfile(form); why != "" {
		return profile.Profile{}, fmt.Errorf("%s; see %s", why, form.Source)
	}
	switch {
	case !f.signIn:
		return form, nil
	case form.SignIn:
		return profile.Profile{}, exit.UsageError(fmt.Errorf("--sign-in is for oauth2-proxy: with %s people always sign in; leave it out", form.Title))
	}
	return profile.OAuth2ProxySignIn(), nil
}

// serviceOf reads NAMESPACE/SERVICE[:PORT].
func serviceOf(text string, port int64) (namespace, service string, found int64, err error) {
	wrong := fmt.Errorf("--service is %q; write NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT, for example oauth2-proxy/oauth2-proxy:80", bound.Text(text))
	address, number, has := strings.Cut(text, ":")
	if has {
		if port, err = strconv.ParseInt(number, 10, 64); err != nil {
			return "", "", 0, wrong
		}
	}
	namespace, service, two := strings.Cut(address, "/")
	if !two || namespace == "" || service == "" || strings.ContainsAny(address, ".") || strings.Contains(service, "/") {
		return "", "", 0, wrong
	}
	return namespace, service, port, nil
}

// alone is an Istio CR with nothing but the entry.
func alone(entry map[string]any) *istio.View {
	view := istio.Parse(manifestOf(entry))
	return &view
}

func manifestOf(entry map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": istio.Group + "/" + istio.Version, "kind": istio.Kind,
		"metadata": map[string]any{"name": "default", "namespace": istio.Namespace},
		"spec":     map[string]any{"config": map[string]any{"authorizers": []any{entry}}},
	}
}

// refusals returns what denies as one error; nil if nothing does.
func refusals(findings []policy.Finding) error {
	var errs []error
	for _, one := range findings {
		if one.Severity == policy.Deny {
			errs = append(errs, one.Err)
		}
	}
	return errors.Join(errs...)
}

// show prints the entry as a manifest or as a patch.
func (f *registerFlags) show(w io.Writer, entry map[string]any) error {
	var text []byte
	var err error
	if f.output == "patch" {
		text, err = json.Marshal([]any{map[string]any{"op": "add", "path": "/spec/config/authorizers/-", "value": entry}})
		text = append(text, '\n')
	} else {
		text, err = yaml.Marshal(manifestOf(entry))
		text = append([]byte(registered), text...)
	}
	if err != nil {
		return fmt.Errorf("printing the entry: %w", err)
	}
	if _, err := io.WriteString(w, quote.Printed(string(text))); err != nil {
		return fmt.Errorf("printing the entry: %w", err)
	}
	return nil
}

// registered is above the manifest, which looks as if it could be applied as it is.
const registered = `# Add the entry to the list in your Istio CR. Do not apply this as it is: the list is
# replaced as a whole, so the other authorizers would be gone. --apply adds the entry.
`
