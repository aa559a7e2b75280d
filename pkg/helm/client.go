// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package helm installs one release and keeps it as wanted.
//
// It is the only package that imports helm.sh, and it lets no type of Helm out.
// It observes the release, names the state it is in, chooses one action by a
// pure function, acts, and observes again. A release that was left half done by
// a killed process is a state with an action of its own; a release that somebody
// else made is never touched.
package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/rest"
)

// ownerLabel marks the releases that this package made. It is a label of Helm's
// release Secret and passes from revision to revision.
const ownerLabel = "installed-by"

// digestLabel keeps which chart archive a revision was made from.
const digestLabel = "chart-digest"

// Release is what is wanted.
type Release struct {
	// Name of the release.
	Name string
	// Chart that it is made from.
	Chart *Chart
	// Values, as a JSON object; nothing is merged with earlier values. Helm
	// stores them in the cluster, so they must not hold secrets.
	Values map[string]any
}

// Status is what was observed.
type Status struct {
	// State names it.
	State State
	// Revision is zero if the release is absent.
	Revision int
	// Message says in words what was seen.
	Message string
}

// Client installs releases into one namespace on behalf of one owner. It is not
// safe for concurrent use.
type Client struct {
	config    *action.Configuration
	namespace string
	owner     string
	log       *tail
}

// New returns a Client for a namespace, which has to exist by the time a release
// is installed. The owner is written on each release, and only releases with
// that owner are ever changed. Helm's own log goes to log at V(1).
func New(restConfig *rest.Config, namespace, owner string, log logr.Logger) (*Client, error) {
	lines := newTail(log)
	config := &action.Configuration{}
	if err := config.Init(newGetter(restConfig, namespace), namespace, "secret", lines.printf); err != nil {
		return nil, fmt.Errorf("preparing Helm: %w", err)
	}
	return newClient(config, namespace, owner, lines), nil
}

func newClient(config *action.Configuration, namespace, owner string, lines *tail) *Client {
	return &Client{config: config, namespace: namespace, owner: owner, log: lines}
}

// UnmanagedError says that the release is somebody else's.
type UnmanagedError struct {
	// Namespace and Name of the release.
	Namespace, Name string
}

// Error says what to do.
func (e *UnmanagedError) Error() string {
	return fmt.Sprintf("release %s/%s exists and was not installed by this job; it is never adopted: "+
		"uninstall it with `helm uninstall %s --namespace %s`, or choose another release name or namespace",
		e.Namespace, e.Name, e.Name, e.Namespace)
}

// Observe looks at the release and changes nothing.
func (c *Client) Observe(want Release) (Status, error) {
	last, err := c.last(want.Name)
	if err != nil {
		return Status{}, err
	}
	return statusOf(last, want, c.owner), nil
}

// Find says whether there is a release of that name, for who does not care which
// chart and values it has: StateAbsent, StateUnmanaged, or any other for ours.
func (c *Client) Find(name string) (State, error) {
	last, err := c.last(name)
	switch {
	case err != nil:
		return "", err
	case last == nil:
		return StateAbsent, nil
	case last.Labels[ownerLabel] != c.owner:
		return StateUnmanaged, nil
	}
	return StateInSync, nil
}

// Ensure brings the release into the wanted state. Any one kind of action is
// taken at most once in a call, so that a chart which fails to install is an
// error and not a loop. It returns an *UnmanagedError for a foreign release.
// It does not wait for Pods: see [Client.Unready].
func (c *Client) Ensure(ctx context.Context, want Release) (Status, error) {
	taken := map[Action]bool{}
	for {
		status, err := c.Observe(want)
		if err != nil {
			return Status{}, err
		}
		act := actionFor(status.State)
		switch {
		case act == ActionNothing:
			return status, nil
		case act == ActionRefuse:
			return status, &UnmanagedError{Namespace: c.namespace, Name: want.Name}
		case taken[act]:
			return status, fmt.Errorf("release %s/%s is still %s after %s: %s", c.namespace, want.Name, status.State, act, status.Message)
		}
		taken[act] = true
		if err := c.act(ctx, act, want); err != nil {
			return status, c.explain(fmt.Errorf("%s of release %s/%s: %w", act, c.namespace, want.Name, err))
		}
	}
}

// Uninstall removes the release with all its revisions, whatever state it is in,
// and says whether there was one. A foreign release is an *UnmanagedError.
func (c *Client) Uninstall(name string) (bool, error) {
	last, err := c.last(name)
	switch {
	case err != nil:
		return false, err
	case last == nil:
		return false, nil
	case last.Labels[ownerLabel] != c.owner:
		return false, &UnmanagedError{Namespace: c.namespace, Name: name}
	}
	uninstall := action.NewUninstall(c.config)
	uninstall.IgnoreNotFound = true
	uninstall.DeletionPropagation = "background"
	if _, err := uninstall.Run(name); err != nil {
		return false, c.explain(fmt.Errorf("uninstalling release %s/%s: %w", c.namespace, name, err))
	}
	return true, nil
}

func (c *Client) act(ctx context.Context, act Action, want Release) error {
	c.log.reset()
	switch act {
	case ActionInstall:
		return c.install(ctx, want)
	case ActionUpgrade:
		return c.upgrade(ctx, want)
	case ActionUnlock:
		return c.unlock(want.Name)
	default:
		return fmt.Errorf("no such action: %s", act)
	}
}

func (c *Client) install(ctx context.Context, want Release) error {
	install := action.NewInstall(c.config)
	install.ReleaseName = want.Name
	install.Namespace = c.namespace
	install.Labels = c.labels(want)
	values, err := copyValues(want.Values)
	if err != nil {
		return err
	}
	_, err = install.RunWithContext(ctx, want.Chart.chart, values)
	return err
}

func (c *Client) upgrade(ctx context.Context, want Release) error {
	upgrade := action.NewUpgrade(c.config)
	upgrade.Namespace = c.namespace
	upgrade.Labels = c.labels(want)
	upgrade.ResetValues = true
	upgrade.MaxHistory = 5
	values, err := copyValues(want.Values)
	if err != nil {
		return err
	}
	_, err = upgrade.RunWithContext(ctx, want.Name, want.Chart.chart, values)
	return err
}

// unlock turns what a killed process left behind into an ordinary failure,
// which the next action heals.
func (c *Client) unlock(name string) error {
	last, err := c.last(name)
	if err != nil || last == nil {
		return err
	}
	last.SetStatus(release.StatusFailed, fmt.Sprintf("found %s, left behind by a process that ended", last.Info.Status))
	return c.config.Releases.Update(last)
}

func (c *Client) labels(want Release) map[string]string {
	return map[string]string{ownerLabel: c.owner, digestLabel: want.Chart.label()}
}

// last returns the newest revision, or nil if there is none.
func (c *Client) last(name string) (*release.Release, error) {
	last, err := c.config.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading release %s/%s: %w", c.namespace, name, err)
	}
	return last, nil
}

// explain adds the last lines of Helm's log.
func (c *Client) explain(err error) error {
	lines := c.log.String()
	if lines == "" {
		return err
	}
	return fmt.Errorf("%w (Helm's last lines: %s)", err, lines)
}

// copyValues keeps Helm, which edits the values it is given, away from ours. The
// copy has JSON's types, with whole numbers as integers: templates print a large
// float in scientific notation.
func copyValues(values map[string]any) (map[string]any, error) {
	raw, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("copying the values: %w", err)
	}
	out := map[string]any{}
	if err := utiljson.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("copying the values: %w", err)
	}
	return out, nil
}
