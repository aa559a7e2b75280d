// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package exit says with which code a process ends, as a function of the error
// it ends with.
//
// There is one table for all binaries, so that a Job's podFailurePolicy and a
// shell script can rely on it. Nothing here ends the process: only main calls
// os.Exit.
package exit

import (
	"context"
	"errors"
)

// The exit codes of all binaries of this project.
const (
	// Done means that the work is done, or that somebody asked to stop.
	Done = 0
	// Failed means a failure, or findings that deny.
	Failed = 1
	// Usage means that the command line or the configuration is wrong: running
	// again with the same input is hopeless.
	Usage = 2
	// Blocked means that something outside has to change first: running again
	// later may well succeed.
	Blocked = 3
	// Timeout means that the time allowed was not enough. It is the code of
	// timeout(1).
	Timeout = 124
)

// Coder is implemented by errors that know their exit code. A code that is not
// in the table above is ignored: os/exec's ExitError has the same method and
// must not leak a child's code.
type Coder interface {
	error
	ExitCode() int
}

// Code returns the exit code for err. An error's own code wins over what it
// wraps, so a step that is blocked and then cancelled is still blocked.
func Code(err error) int {
	var coder Coder
	switch {
	case err == nil:
		return Done
	case errors.As(err, &coder) && known(coder.ExitCode()):
		return coder.ExitCode()
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Done
	default:
		return Failed
	}
}

// UsageError marks err as wrong usage. UsageError(nil) is nil.
func UsageError(err error) error {
	return With(Usage, err)
}

// With gives err an exit code and leaves its text alone. With(code, nil) is nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{error: err, code: code}
}

type coded struct {
	error
	code int
}

// Unwrap returns the error that was given a code.
func (c *coded) Unwrap() error { return c.error }

// ExitCode returns the code that was given.
func (c *coded) ExitCode() int { return c.code }

func known(code int) bool {
	switch code {
	case Done, Failed, Usage, Blocked, Timeout:
		return true
	default:
		return false
	}
}
