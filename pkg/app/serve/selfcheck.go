// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/selfcheck"
)

var errSelfCheck = errors.New("the webhooks do not do what they should")

// selfCheck tries the webhooks and says what they do. An authorizer that is not
// registered yet is no fault of theirs: that what was injected is refused for it
// shows that both run.
func selfCheck(ctx context.Context, client dynamic.Interface, namespace, authorizer string, out io.Writer) error {
	rules := client.Resource(schema.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource}).Namespace(namespace)
	try := selfcheck.Try{
		Namespace: namespace, Domain: "example.com", Gateway: "kyma-system/kyma-gateway", Authorizer: authorizer,
		Create: func(ctx context.Context, rule *unstructured.Unstructured) error {
			stored, err := rules.Create(ctx, rule, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err == nil {
				rule.Object = stored.Object
			}
			return err
		},
	}
	err := try.Injects(ctx)
	var wrong *selfcheck.Wrong
	registered := !errors.As(err, &wrong) || !wrong.NotRegistered
	if err != nil && registered {
		return fmt.Errorf("%w: %w", errSelfCheck, err)
	}
	fmt.Fprintf(out, "an annotated APIRule is injected with %s\n", authorizer)
	if !registered {
		fmt.Fprintf(out, "note: %s is not registered in the Istio CR yet, so such an APIRule is refused until it is\n", authorizer)
	}
	if err := try.Refuses(ctx); err != nil {
		return fmt.Errorf("%w: %w", errSelfCheck, err)
	}
	fmt.Fprintln(out, "an APIRule with an unregistered authorizer is refused")
	return nil
}

// selfCheckCommand is what helm test runs.
func selfCheckCommand(kubeconfig *string) *cobra.Command {
	var namespace, authorizer string
	command := &cobra.Command{
		Use:   "selfcheck",
		Short: "Try the webhooks of a cluster with two creates as a dry run",
		Args:  noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := findCluster(*kubeconfig)
			if err != nil {
				return err
			}
			client, err := dynamic.NewForConfig(cluster)
			if err != nil {
				return fmt.Errorf("making a client: %w", err)
			}
			return selfCheck(command.Context(), client, namespace, authorizer, command.OutOrStdout())
		},
	}
	command.Flags().StringVar(&namespace, "namespace", "default", "`namespace` of the APIRules that are tried")
	command.Flags().StringVar(&authorizer, "authorizer", "oauth2-proxy", "`name` that has to be injected")
	return command
}

func noArgs(command *cobra.Command, args []string) error {
	return exit.UsageError(cobra.NoArgs(command, args))
}
