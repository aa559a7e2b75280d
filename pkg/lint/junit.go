// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// junitPrinter writes one test suite. A denial is a failed test, a warning one
// that passed and says something, what is unchecked one that was skipped.
type junitPrinter struct {
	w     io.Writer
	cases []junitCase
}

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

func (p *junitPrinter) Print(finding Finding) error {
	one := junitCase{
		Class: finding.File,
		Name:  strings.Join(strings.Fields(object(finding)+" "+finding.Path+" "+finding.Code), " "),
		File:  finding.File,
		Line:  finding.Line,
	}
	place := fmt.Sprintf("%s:%d:%d", finding.File, finding.Line, finding.Column)
	if finding.Severity == policy.Deny {
		one.Failure = &junitMessage{Message: finding.Message, Type: finding.Code, Text: place}
	} else {
		one.Out = fmt.Sprintf("%s: %s: %s", place, finding.Severity, finding.Message)
	}
	p.cases = append(p.cases, one)
	return nil
}

func (p *junitPrinter) Close(summary Summary) error {
	skipped := summary.unchecked()
	for _, one := range skipped {
		p.cases = append(p.cases, junitCase{Class: "extauth", Name: one.what, Skipped: &junitMessage{Message: "not checked: " + one.why}})
	}
	if len(p.cases) == 0 {
		p.cases = append(p.cases, junitCase{Class: "extauth", Name: count(summary.Objects, "object", "objects")})
	}
	suite := junitSuite{Name: "kubectl extauth lint", Tests: len(p.cases), Failures: summary.Deny, Skipped: len(skipped), Cases: p.cases}
	raw, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, err = fmt.Fprintf(p.w, "%s%s\n", xml.Header, raw)
	return err
}
