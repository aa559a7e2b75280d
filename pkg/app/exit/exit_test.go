// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package exit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
)

// child stands for os/exec's ExitError, which has an ExitCode method too.
type child struct{ code int }

func (c child) Error() string { return "child failed" }
func (c child) ExitCode() int { return c.code }

func TestCode(t *testing.T) {
	cases := map[string]struct {
		err  error
		want int
	}{
		"no error is done":                            {nil, exit.Done},
		"a plain error is a failure":                  {errors.New("boom"), exit.Failed},
		"a request to stop is done":                   {fmt.Errorf("serving: %w", context.Canceled), exit.Done},
		"a deadline is out of time":                   {fmt.Errorf("waiting: %w", context.DeadlineExceeded), exit.Timeout},
		"wrong usage, however deep":                   {fmt.Errorf("running: %w", exit.UsageError(errors.New("no such flag"))), exit.Usage},
		"an error's own code wins over its cause":     {exit.With(exit.Blocked, context.Canceled), exit.Blocked},
		"one of several joined errors knows its code": {errors.Join(errors.New("a"), exit.With(exit.Blocked, errors.New("b"))), exit.Blocked},
		"a child's code does not leak":                {child{code: 77}, exit.Failed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, exit.Code(tc.err))
		})
	}
}

func TestWithKeepsTheTextAndTheChain(t *testing.T) {
	cause := errors.New("no such flag")
	err := exit.UsageError(cause)
	assert.EqualError(t, err, "no such flag")
	assert.ErrorIs(t, err, cause)
	assert.NoError(t, exit.UsageError(nil))
}
