// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"runtime/debug"
)

// apiServerEnvironment is what the API servers, and etcd with them, get in their
// environment.
func apiServerEnvironment(o options) map[string]string {
	env := map[string]string{}
	if o.http1 {
		// What kube-apiserver's clients understand (apimachinery, util/net/http.go).
		// To a Service it speaks HTTP/1.1 whatever this says, to a URL it does then.
		env["DISABLE_HTTP2"] = "true"
	}
	if o.collect {
		// They collect when they are told to, between blocks; the limit is for what is
		// not measured, such as filling a cluster.
		env["GOGC"], env["GOMEMLIMIT"] = "off", "2GiB"
	}
	return env
}

// setEnvironment sets variables of this process, which its children inherit, and
// returns what takes them away again.
func setEnvironment(env map[string]string) (restore func() error, err error) {
	restore = func() error {
		var errs []error
		for name := range env {
			errs = append(errs, os.Unsetenv(name))
		}
		return errors.Join(errs...)
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			return nil, errors.Join(err, restore())
		}
	}
	return restore, nil
}

// ownLimit is how much memory this process takes before it collects garbage by
// itself, in bytes; a block leaves a few tens of MiB.
const ownLimit = 1 << 30

// collectWhenTold has this process collect garbage between blocks only, as the API
// servers do: it has a part in every latency that it measures.
func collectWhenTold() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(ownLimit)
}
