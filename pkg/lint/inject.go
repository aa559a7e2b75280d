// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"context"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Injected is a document as the mutating webhook would have it stored.
type Injected struct {
	// Text is the document; that of the input if nothing changes.
	Text []byte
	// Rules says for each rule of each APIRule what became of it.
	Rules []InjectedRule
	// Verdicts counts the verdicts on the APIRules as they would be stored.
	Verdicts policy.Tally
	// Findings are what the mutating webhook would refuse, and what is no
	// manifest; the text of such an object is that of the input.
	Findings []Finding
}

// InjectedRule says what became of one rule, or of a whole APIRule.
type InjectedRule struct {
	Namespace, Name string
	// Line is where the rule is in the input.
	Line int
	// Rule is the index of the rule, -1 for the whole APIRule.
	Rule int
	// Path is the rule's path.
	Path string
	// Reason is why the rule is left alone, or policy.Injected.
	Reason policy.Reason
	// Text says the same in half a sentence.
	Text string
	// From is what decided, and Authorizers are what is injected.
	From        string
	Authorizers []string
}

// Inject returns a document as the mutating webhook would have it stored. The
// document is read once and all its objects are changed at once. An error means
// that a text could not be changed, or that ctx ended.
func (l Linter) Inject(ctx context.Context, file string, document manifest.Document) (Injected, error) {
	result := Injected{Text: document.Text}
	content, err := document.Read()
	if err != nil {
		result.Findings = []Finding{unreadable(file, document, err)}
		return result, nil
	}
	var patches []manifest.Patch
	for _, object := range content.Objects {
		if err := ctx.Err(); err != nil {
			return Injected{}, err
		}
		about := identify(object.Value, l.Namespace)
		if about.groupKind() != apirule.Kind+"."+apirule.Group {
			continue
		}
		if found := checkVersion(about.apiVersion); len(found) > 0 {
			result.Findings = append(result.Findings, l.place(file, object, found[0]))
			continue
		}
		examined := l.injected(ctx, object.Value)
		view, injection := examined.written, examined.Injection
		result.Verdicts.Add(policy.Judge(examined.View, examined.Facts, l.Settings).Verdict.Verdict, 1)
		result.Rules = append(result.Rules, injectedRules(object, view, injection)...)
		for _, finding := range injection.Findings {
			result.Findings = append(result.Findings, l.place(file, object, finding))
		}
		if policy.Denies(injection.Findings) {
			continue
		}
		patches = append(patches, manifest.Patch{Pointer: object.Pointer, Operations: apirule.JSONPatch(view, injection.Edits)})
	}
	if result.Text, err = content.Patch(patches); err != nil {
		return Injected{}, err
	}
	return result, nil
}

func injectedRules(object manifest.Object, view apirule.View, injection policy.Injection) []InjectedRule {
	line, _ := object.Locate("")
	whole := InjectedRule{Namespace: view.Namespace, Name: view.Name, Line: line, Rule: -1}
	if injection.Skipped != "" {
		whole.Reason, whole.Text = injection.Skipped, injection.Skipped.Text()
		return []InjectedRule{whole}
	}
	authorizers := map[int][]string{}
	for _, edit := range injection.Edits.Rules {
		authorizers[edit.Rule] = edit.Authorizers
	}
	rules := make([]InjectedRule, 0, len(injection.Outcomes))
	for _, outcome := range injection.Outcomes {
		one := whole
		one.Rule, one.Path = outcome.Rule, view.Rules[outcome.Rule].Path
		one.Line, _ = object.Locate(view.Rules[outcome.Rule].Field().String())
		one.Reason, one.Text, one.From = outcome.Reason, outcome.Reason.Text(), outcome.From
		one.Authorizers = authorizers[outcome.Rule]
		rules = append(rules, one)
	}
	return rules
}
