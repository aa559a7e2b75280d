// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
)

// unregisterCommand is what the chart runs before it is uninstalled.
func unregisterCommand(kubeconfig *string) *cobra.Command {
	return &cobra.Command{
		Use:   "unregister",
		Short: "Delete the webhook configurations, so that the API server asks nobody any more",
		Args:  noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := findCluster(*kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(cluster)
			if err != nil {
				return fmt.Errorf("making a client: %w", err)
			}
			return unregister(command.Context(), client, command.OutOrStdout())
		},
	}
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
