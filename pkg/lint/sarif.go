// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// sarifPrinter writes SARIF 2.1.0 (OASIS, static analysis results interchange
// format, errata 01).
type sarifPrinter struct {
	w       io.Writer
	version string
	begun   bool
}

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	home        = "https://github.com/extauth-guard/extauth-guard"
)

type (
	sarifText struct {
		Text string `json:"text"`
	}
	sarifRule struct {
		ID                   string             `json:"id"`
		ShortDescription     sarifText          `json:"shortDescription"`
		Help                 sarifText          `json:"help"`
		DefaultConfiguration sarifConfiguration `json:"defaultConfiguration"`
	}
	sarifConfiguration struct {
		Level string `json:"level"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
		// Base is what a relative URI is relative to.
		Base string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine   int        `json:"startLine"`
		StartColumn int        `json:"startColumn"`
		Snippet     *sarifText `json:"snippet,omitempty"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
)

func sarifRules() []sarifRule {
	rules := []sarifRule{{
		ID: Unreadable, ShortDescription: sarifText{"The file or document cannot be read."},
		Help:                 sarifText{"Correct the YAML or JSON at the place that the message names."},
		DefaultConfiguration: sarifConfiguration{sarifLevel(policy.Deny)},
	}, {
		ID: NotExposed, ShortDescription: sarifText{"A Service asks to be exposed and would not be."},
		Help:                 sarifText{"Correct its annotations as the message says."},
		DefaultConfiguration: sarifConfiguration{sarifLevel(policy.Warn)},
	}, {
		ID: VersionNotServed, ShortDescription: sarifText{"An APIRule has an API version that Kyma does not serve."},
		Help:                 sarifText{"Write it as v2; \"kubectl extauth migrate\" converts v1alpha1 and v1beta1."},
		DefaultConfiguration: sarifConfiguration{sarifLevel(policy.Deny)},
	}, {
		ID: SchemaInvalid, ShortDescription: sarifText{"The API server would refuse the object by its CRD."},
		Help:                 sarifText{"Correct the field as the message says."},
		DefaultConfiguration: sarifConfiguration{sarifLevel(policy.Deny)},
	}, {
		ID: PolicyUndecided, ShortDescription: sarifText{"It is not known whether an ExtAuthPolicy is about an object."},
		Help:                 sarifText{"Add the manifest of the Namespace to the input, or ask a cluster with --live."},
		DefaultConfiguration: sarifConfiguration{sarifLevel(policy.Deny)},
	}}
	for _, reference := range policy.References() {
		rules = append(rules, sarifRule{
			ID:                   string(reference.Code),
			ShortDescription:     sarifText{reference.Cause},
			Help:                 sarifText{reference.Fix},
			DefaultConfiguration: sarifConfiguration{sarifLevel(reference.Severity)},
		})
	}
	return rules
}

func sarifLevel(severity policy.Severity) string {
	switch severity {
	case policy.Deny:
		return "error"
	case policy.Warn:
		return "warning"
	default:
		return "note"
	}
}

func (p *sarifPrinter) begin() error {
	p.begun = true
	driver := sarifDriver{Name: "kubectl-extauth", Version: p.version, InformationURI: home, Rules: sarifRules()}
	before := fmt.Sprintf("{\n  \"$schema\": %q,\n  \"version\": \"2.1.0\",\n  \"runs\": [{\n    \"tool\": {\"driver\": ", sarifSchema)
	return writeJSON(p.w, before, driver, "    ", "},\n    \"columnKind\": \"unicodeCodePoints\",\n    \"results\": [")
}

func (p *sarifPrinter) Print(finding Finding) error {
	separator := ",\n      "
	if !p.begun {
		separator = "\n      "
		if err := p.begin(); err != nil {
			return err
		}
	}
	return writeJSON(p.w, separator, result(finding), "      ", "")
}

func (p *sarifPrinter) Close(Summary) error {
	after := "\n    ]\n  }]\n}\n"
	if !p.begun {
		after = "]\n  }]\n}\n"
		if err := p.begin(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(p.w, after)
	return err
}

func result(finding Finding) sarifResult {
	message := finding.Message
	location := sarifLocation{Physical: sarifPhysical{
		Artifact: artifact(finding.File),
		Region:   sarifRegion{StartLine: finding.Line, StartColumn: finding.Column},
	}}
	if finding.Source != "" {
		location.Physical.Region.Snippet = &sarifText{finding.Source}
	}
	if finding.Path != "" {
		message = fmt.Sprintf("%s: %s: %s", object(finding), finding.Path, message)
		location.Logical = []sarifLogical{{FullyQualifiedName: object(finding) + " " + finding.Path, Kind: "member"}}
	}
	// The same fault is the same alert although lines above it come and go.
	sum := sha256.Sum256([]byte(strings.Join([]string{finding.File, object(finding), finding.Code, finding.Subject}, "\x00")))
	return sarifResult{
		RuleID: finding.Code, RuleIndex: ruleIndex(finding.Code), Level: sarifLevel(finding.Severity),
		Message: sarifText{message}, Locations: []sarifLocation{location},
		Fingerprints: map[string]string{"extauthFault/v1": hex.EncodeToString(sum[:16])},
	}
}

// drive matches the beginning of an absolute path of Windows.
var drive = regexp.MustCompile(`^[A-Za-z]:/`)

// artifact names a file by a reference of RFC 3986: what has a meaning in one is
// escaped, and the first segment of a relative one has no colon (section 4.2).
func artifact(file string) sarifArtifact {
	switch {
	case path.IsAbs(file):
		return sarifArtifact{URI: "file://" + escapePath(path.Clean(file))}
	case drive.MatchString(file):
		return sarifArtifact{URI: "file:///" + escapePath(path.Clean(file))}
	}
	relative := path.Clean(file)
	if first, _, _ := strings.Cut(relative, "/"); strings.Contains(first, ":") {
		relative = "./" + relative
	}
	return sarifArtifact{URI: escapePath(relative), Base: "%SRCROOT%"}
}

// escapePath escapes every byte that a path may not have as it is (RFC 3986,
// section 3.3).
func escapePath(path string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/"
	var uri strings.Builder
	for i := range len(path) {
		if strings.IndexByte(plain, path[i]) >= 0 {
			uri.WriteByte(path[i])
		} else {
			fmt.Fprintf(&uri, "%%%02X", path[i])
		}
	}
	return uri.String()
}

// ruleIndex returns the place of a code in the rules, or -1, which stands for
// none (SARIF, 3.27.6).
func ruleIndex(code string) int {
	for i, rule := range sarifRules() {
		if rule.ID == code {
			return i
		}
	}
	return -1
}
