// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// ofCluster marks the flags that say which cluster is meant.
const ofCluster = "of-cluster"

// groupFlags has the help of root and its commands show flags in two groups, as wide as
// the terminal: those of the command, and those that every kubectl command has. It is no
// template, because text/template calls methods by their names, and then the linker
// keeps every method of everything: the binary would be twice as large.
func groupFlags(root *cobra.Command, out io.Writer) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), usageOf(cmd, width(out)))
		return err
	})
}

func usageOf(cmd *cobra.Command, columns int) string {
	var text strings.Builder
	text.WriteString("Usage:")
	if cmd.Runnable() {
		text.WriteString("\n  " + cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		text.WriteString("\n  " + cmd.CommandPath() + " [command]")
	}
	if cmd.HasExample() {
		text.WriteString("\n\nExamples:\n" + cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		text.WriteString("\n\nAvailable Commands:")
		for _, one := range cmd.Commands() {
			if one.IsAvailableCommand() {
				fmt.Fprintf(&text, "\n  %-*s %s", one.NamePadding(), one.Name(), one.Short)
			}
		}
	}
	for _, group := range []struct {
		title   string
		cluster bool
	}{{"Flags", false}, {"Flags that say which cluster", true}} {
		if flags := flagsOf(cmd, group.cluster, columns); flags != "" {
			text.WriteString("\n\n" + group.title + ":\n" + flags)
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "\n\nUse %q for more information about a command.", cmd.CommandPath()+" [command] --help")
	}
	text.WriteString("\n")
	return text.String()
}

// flagsOf describes the flags of a command that say which cluster is meant, or the others.
func flagsOf(cmd *cobra.Command, cluster bool, columns int) string {
	group := pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if _, is := flag.Annotations[ofCluster]; is == cluster {
			group.AddFlag(flag)
		}
	})
	return strings.TrimRight(group.FlagUsagesWrapped(columns), "\n ")
}

// addKubeFlags adds the flags that say which cluster is meant, with what a shell
// offers for them.
func addKubeFlags(cmd *cobra.Command, kube *kubeFlags) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	kube.addFlags(own)
	own.VisitAll(func(flag *pflag.Flag) {
		// pflag takes what is between backquotes for the name of the value.
		flag.Usage = strings.ReplaceAll(flag.Usage, "`", "'")
		flag.Annotations = map[string][]string{ofCluster: {}}
	})
	cmd.Flags().AddFlagSet(own)
	complete := func(flag string, names func(context.Context, *kubeFlags) []string) {
		// The error is a flag that does not exist; a test looks at every command.
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return names(cmd.Context(), kube), cobra.ShellCompDirectiveNoFileComp
		})
	}
	complete("namespace", namespaceNames)
	complete("context", contextNames)
}

// offerWithin bounds how long a shell waits for names from the cluster.
const offerWithin = 2 * time.Second

func contextNames(_ context.Context, kube *kubeFlags) []string {
	config, err := kube.loader().RawConfig()
	if err != nil {
		return nil
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	return names
}

func namespaceNames(ctx context.Context, kube *kubeFlags) []string {
	return offered(ctx, kube, func(ctx context.Context, client kubernetes.Interface, _ string) ([]string, error) {
		return namesIn(client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}))
	})
}

func secretNames(ctx context.Context, kube *kubeFlags) []string {
	return offered(ctx, kube, func(ctx context.Context, client kubernetes.Interface, namespace string) ([]string, error) {
		return namesIn(client.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Opaque"}))
	})
}

func apiruleNames(ctx context.Context, kube *kubeFlags) []string {
	config, err := kube.config()
	if err != nil {
		return nil
	}
	namespace, _, err := kube.loader().Namespace()
	if err != nil {
		return nil
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, offerWithin)
	defer cancel()
	names, err := namesIn(client.Resource(served()).Namespace(namespace).List(ctx, metav1.ListOptions{}))
	if err != nil {
		return nil
	}
	return names
}

// namesIn returns the names of the objects in a list, in its order, or the error of
// reading it.
func namesIn[List runtime.Object](list List, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	var names []string
	err = meta.EachListItem(list, func(item runtime.Object) error {
		object, err := meta.Accessor(item)
		if err == nil {
			names = append(names, object.GetName())
		}
		return err
	})
	return names, err
}

// offered asks the cluster for names. What cannot be read is not offered: a shell
// has no place for a reason.
func offered(ctx context.Context, kube *kubeFlags, list func(context.Context, kubernetes.Interface, string) ([]string, error)) []string {
	config, err := kube.config()
	if err != nil {
		return nil
	}
	namespace, _, err := kube.loader().Namespace()
	if err != nil {
		return nil
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, offerWithin)
	defer cancel()
	names, err := list(ctx, client, namespace)
	if err != nil {
		return nil
	}
	return names
}

// width is that of the terminal behind a writer; 0 where there is none.
func width(out io.Writer) int {
	file, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// wrap breaks lines at spaces so that they fit into columns; 0 leaves them as they
// are. What is continued is indented two more than its line began.
func wrap(text string, columns int) string {
	if columns <= 0 {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		ended := strings.HasSuffix(line, "\n")
		line = strings.TrimSuffix(line, "\n")
		indent := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+2)
		for visible(line) > columns {
			at := breakBefore(line, columns)
			if at <= len(indent) {
				break // one word is wider than the terminal
			}
			out.WriteString(strings.TrimRight(line[:at], " ") + "\n")
			line = indent + strings.TrimLeft(line[at:], " ")
		}
		out.WriteString(line)
		if ended {
			out.WriteString("\n")
		}
	}
	return out.String()
}

// visible counts what takes a column: no sequences that colour.
func visible(line string) int {
	count, escaped := 0, false
	for _, letter := range line {
		switch {
		case letter == '\x1b':
			escaped = true
		case escaped:
			escaped = letter != 'm'
		default:
			count++
		}
	}
	return count
}

// breakBefore returns the last space that is not behind the column, or -1.
func breakBefore(line string, columns int) int {
	count, escaped, last := 0, false, -1
	for at, letter := range line {
		switch {
		case letter == '\x1b':
			escaped = true
			continue
		case escaped:
			escaped = letter != 'm'
			continue
		}
		if letter == ' ' && count <= columns {
			last = at
		}
		count++
	}
	return last
}
