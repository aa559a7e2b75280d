// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"fmt"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// FromFiles serves the certificate in a directory and follows its changes, which
// somebody else makes. The files have to be there.
func FromFiles(directory string, expiry Expiry) (*certwatcher.CertWatcher, error) {
	watcher, err := certwatcher.New(filepath.Join(directory, CertificateFile), filepath.Join(directory, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate in %s: %w", directory, err)
	}
	watcher.RegisterCallback(expiry.tell)
	return watcher, nil
}
