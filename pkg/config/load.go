// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config holds the configuration files of this project: their types,
// their defaults and their validation.
//
// A file is versioned, decoded strictly and validated whole before anything
// acts on it. Everything here is pure: reading the file and telling the user
// about it is the business of the composition roots.
package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// APIVersion is the version of all configuration files.
const APIVersion = "config.extauth-guard.io/v1alpha1"

// Load decodes one YAML or JSON document of the given kind into into, which
// keeps its values (usually defaults) where the document is silent.
//
// It is strict: a wrong apiVersion or kind, an unknown field, a field in other
// capitals, a duplicate key and a second document are errors, because a typo
// must never be read as "not set". On an error into is in an undefined state.
func Load[T any](raw []byte, kind string, into *T) error {
	document, err := only(raw)
	if err != nil {
		return err
	}
	asJSON, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return fmt.Errorf("parsing the %s: %w", kind, err)
	}
	var meta metav1.TypeMeta
	if err := strictjson.UnmarshalCaseSensitivePreserveInts(asJSON, &meta); err != nil {
		return fmt.Errorf("parsing the %s: %w", kind, err)
	}
	if meta.APIVersion != APIVersion || meta.Kind != kind {
		return fmt.Errorf("this is apiVersion %q, kind %q; expected apiVersion: %s, kind: %s",
			meta.APIVersion, meta.Kind, APIVersion, kind)
	}
	strict, err := strictjson.UnmarshalStrict(asJSON, into)
	if err != nil {
		return fmt.Errorf("parsing the %s: %w", kind, err)
	}
	if len(strict) > 0 {
		return fmt.Errorf("parsing the %s: %w", kind, errors.Join(strict...))
	}
	return nil
}

// only returns the one document in raw that is not empty.
func only(raw []byte) ([]byte, error) {
	var found []byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("splitting the YAML documents: %w", err)
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		if found != nil {
			return nil, errors.New("there is more than one YAML document; a configuration file has exactly one")
		}
		found = document
	}
	if found == nil {
		return nil, errors.New("the configuration is empty")
	}
	return found, nil
}
