// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
)

// terminationLimit is what the kubelet keeps of a termination message.
const terminationLimit = 4096

// recordTime is for writing down the results, also of a run whose time is over.
const recordTime = 10 * time.Second

// summary is the result of a run as it is written down.
type summary struct {
	Operation string `json:"operation"`
	// Outcome is Done, Failed, Blocked or Timeout.
	Outcome  string       `json:"outcome"`
	ExitCode int          `json:"exitCode"`
	Error    string       `json:"error,omitempty"`
	Finished time.Time    `json:"finished"`
	Steps    []stepResult `json:"steps"`
}

type stepResult struct {
	Step    string          `json:"step"`
	State   bootstrap.State `json:"state,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Message string          `json:"message,omitempty"`
	Applied bool            `json:"applied"`
	Seconds float64         `json:"seconds"`
	Error   string          `json:"error,omitempty"`
}

func newSummary(operation string, results []bootstrap.Result, err error, now time.Time) summary {
	code := exit.Code(err)
	s := summary{Operation: operation, Outcome: outcomeOf(code), ExitCode: code, Finished: now.UTC().Truncate(time.Second)}
	if err != nil {
		s.Error = err.Error()
	}
	for _, result := range results {
		s.Steps = append(s.Steps, newStepResult(result))
	}
	return s
}

func newStepResult(result bootstrap.Result) stepResult {
	out := stepResult{
		Step: result.Step, State: result.After.State, Reason: result.After.Reason, Message: result.After.Message,
		Applied: result.Applied, Seconds: float64(result.Duration.Milliseconds()) / 1000,
	}
	var blocked *bootstrap.BlockedError
	if result.Err != nil && !errors.As(result.Err, &blocked) {
		out.Error = result.Err.Error()
	}
	return out
}

func outcomeOf(code int) string {
	switch code {
	case exit.Done:
		return "Done"
	case exit.Blocked:
		return "Blocked"
	case exit.Timeout:
		return "Timeout"
	default:
		return "Failed"
	}
}

// termination returns the summary as JSON of at most limit bytes: texts are cut,
// all equally, until it fits.
func (s summary) termination(limit int) []byte {
	for longest := limit; ; longest = longest * 2 / 3 {
		raw, err := json.Marshal(s.cut(longest))
		if err == nil && len(raw) <= limit {
			return raw
		}
		if err != nil || longest < 2 {
			return []byte(fmt.Sprintf(`{"outcome":%q,"exitCode":%d}`, s.Outcome, s.ExitCode))
		}
	}
}

func (s summary) cut(longest int) summary {
	s.Error = cut(s.Error, longest)
	steps := make([]stepResult, 0, len(s.Steps))
	for _, step := range s.Steps {
		step.Message, step.Error = cut(step.Message, longest), cut(step.Error, longest)
		steps = append(steps, step)
	}
	s.Steps = steps
	return s
}

func cut(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	for longest > 0 && !utf8.RuneStart(text[longest]) {
		longest--
	}
	return text[:longest] + "…"
}

// record writes the termination message and the ConfigMap. It has time of its
// own, because the run's may be over.
func (r *run) record(ctx context.Context, s summary) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	return errors.Join(writeTermination(r.opts.terminationLog, s), r.writeConfigMap(ctx, s))
}

// writeTermination writes into the file that the kubelet made, and makes none.
func writeTermination(path string, s summary) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0) //nolint:gosec // The path is a flag.
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	_, err = file.Write(s.termination(terminationLimit))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	return nil
}

func (r *run) writeConfigMap(ctx context.Context, s summary) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	configMaps := r.kubernetes.CoreV1().ConfigMaps(r.opts.namespace)
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		found, err := configMaps.Get(ctx, Name, metav1.GetOptions{})
		create := apierrors.IsNotFound(err)
		if err != nil && !create {
			return err
		}
		if create {
			found = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Name: Name, Namespace: r.opts.namespace,
				Labels: map[string]string{"app.kubernetes.io/managed-by": steps.Owner},
			}}
		}
		found.Data = map[string]string{"outcome": s.Outcome, "operation": s.Operation, "result.json": string(raw)}
		if create {
			_, err = configMaps.Create(ctx, found, metav1.CreateOptions{})
		} else {
			_, err = configMaps.Update(ctx, found, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("writing the results to ConfigMap %s/%s: %w", r.opts.namespace, Name, err)
	}
	return nil
}
