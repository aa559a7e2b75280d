// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// validPath and validHost are what the CRD of APIRule v2 accepts (Kyma
// api-gateway 3.10, apis/gateway/v2/apirule_types.go), the host without the
// lengths of its parts.
var (
	validPath = regexp.MustCompile(`^((/([A-Za-z0-9\-._~!$&'()+,;=:@]|%[0-9a-fA-F]{2})*)|(/\{\*{1,2}\}))+$|^/\*$`)
	validHost = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?|(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]{2,63})$`)

	// literal is what a path of v2 may have between its operators. The CRD takes
	// more, but Kyma makes a regular expression of the path without quoting
	// characters, and "+", "$" and parentheses would mean something else in it.
	literal = regexp.MustCompile(`^([A-Za-z0-9\-._~!&',;=:@]|%[0-9a-fA-F]{2})*$`)
)

// maxAlternatives bounds how many paths a regular expression may stand for.
const maxAlternatives = 64

// Parts of an expanded regular expression. As characters they are not taken.
const (
	anything  = '\x00' // .*
	something = '\x01' // .+
	segment   = '\x02' // [^/]+
	begin     = '\x03' // ^
	end       = '\x04' // $
)

// formOf returns the paths of v2 that take the place of a regular expression
// which has to match the whole path of a request. They match nothing that the
// expression does not match. None is returned for an expression that has no such
// form. It is narrower if whole segments have taken the place of ".*" behind
// other characters: of "/foo(.*)", "/foo" and "/foo/{**}" remain, as Kyma's guide
// has it (docs/user/custom-resources/apirule/04-70-changes-in-apirule-v2.md).
//
// A dot stands for itself, which is what authors of "/robots.txt" mean.
func formOf(pattern string) (paths []string, narrower bool) {
	expression, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, false
	}
	alternatives, ok := expand(expression.Simplify())
	if !ok {
		return nil, false
	}
	for _, alternative := range alternatives {
		expanded, possible := withoutAnchors(alternative)
		if !possible {
			continue
		}
		found, less, ok := templates(expanded)
		if !ok {
			return nil, false
		}
		paths, narrower = append(paths, found...), narrower || less
	}
	return widest(paths), narrower
}

// widest leaves out each path that another one covers.
func widest(paths []string) []string {
	var kept []string
	for i, path := range paths {
		covered := slices.Contains(kept, path)
		for k, other := range paths {
			covered = covered || (k != i && other != path && covers(other, path))
		}
		if !covered {
			kept = append(kept, path)
		}
	}
	return kept
}

// expand returns the texts that an expression stands for. It is not ok if they
// are too many, or cannot be written by the parts above.
func expand(of *syntax.Regexp) (texts []string, ok bool) {
	switch of.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpBeginText, syntax.OpBeginLine:
		return []string{string(begin)}, true
	case syntax.OpEndText, syntax.OpEndLine:
		return []string{string(end)}, true
	case syntax.OpLiteral:
		return []string{string(of.Rune)}, of.Flags&syntax.FoldCase == 0 && slices.Min(of.Rune) > end
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []string{"."}, true
	case syntax.OpCharClass:
		return expandClass(of.Rune)
	case syntax.OpCapture:
		return expand(of.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		return expandRepeated(of)
	case syntax.OpConcat:
		return expandConcat(of.Sub)
	case syntax.OpAlternate:
		return expandAlternate(of.Sub)
	default:
		return nil, false
	}
}

func expandAlternate(subs []*syntax.Regexp) (texts []string, ok bool) {
	for _, sub := range subs {
		more, ok := expand(sub)
		if !ok || len(texts)+len(more) > maxAlternatives {
			return nil, false
		}
		texts = append(texts, more...)
	}
	return texts, true
}

func expandConcat(subs []*syntax.Regexp) (texts []string, ok bool) {
	texts = []string{""}
	for _, sub := range subs {
		more, ok := expand(sub)
		if !ok || len(texts)*len(more) > maxAlternatives {
			return nil, false
		}
		joined := make([]string, 0, len(texts)*len(more))
		for _, text := range texts {
			for _, next := range more {
				joined = append(joined, text+next)
			}
		}
		texts = joined
	}
	return texts, true
}

// expandRepeated expands "?", "*" and "+". One character that may be repeated is
// taken once at most: "/*" is "/" or nothing, though it matches "//" too.
func expandRepeated(of *syntax.Regexp) (texts []string, ok bool) {
	sub := of.Sub[0]
	for sub.Op == syntax.OpCapture {
		sub = sub.Sub[0]
	}
	everything := sub.Op == syntax.OpAnyChar || sub.Op == syntax.OpAnyCharNotNL
	switch {
	case of.Op == syntax.OpQuest, sub.Op == syntax.OpLiteral && len(sub.Rune) == 1:
		texts, ok = expand(sub)
	case everything && of.Op == syntax.OpStar:
		return []string{string(anything)}, true
	case everything:
		return []string{string(something)}, true
	case isSegment(sub):
		texts, ok = []string{string(segment)}, true
	}
	if ok && of.Op != syntax.OpPlus {
		texts = append([]string{""}, texts...)
	}
	return texts, ok
}

// isSegment is true for "[^/]".
func isSegment(of *syntax.Regexp) bool {
	return of.Op == syntax.OpCharClass && slices.Equal(of.Rune, []rune{0, '/' - 1, '/' + 1, '\U0010ffff'})
}

// expandClass expands a class of a few characters.
func expandClass(ranges []rune) (texts []string, ok bool) {
	for i := 0; i+1 < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if len(texts) == maxAlternatives || r <= end {
				return nil, false
			}
			texts = append(texts, string(r))
		}
	}
	return texts, true
}

// withoutAnchors removes "^" and "$" where they always hold. A text in which one
// never holds is not possible.
func withoutAnchors(text string) (rest string, possible bool) {
	rest = strings.TrimLeft(text, string(begin))
	rest, behind, _ := strings.Cut(rest, string(end))
	if strings.Trim(behind, string(end)+string(anything)) != "" {
		return "", false
	}
	return rest, !strings.ContainsRune(rest, begin)
}

// templates returns the paths of v2 for one text of expand. A text that does not
// begin with a slash is no path, so it has none, which is ok.
func templates(text string) (paths []string, narrower, ok bool) {
	for _, of := range []struct{ twice, once rune }{{anything, anything}, {something, something}} {
		for strings.Contains(text, string([]rune{of.twice, anything})) {
			text = strings.ReplaceAll(text, string([]rune{of.twice, anything}), string(of.once))
		}
	}
	if text == string(anything) {
		return []string{"/*"}, false, true
	}
	if !strings.HasPrefix(text, "/") {
		return nil, false, literal.MatchString(text)
	}
	stem, segments := "", strings.Split(text[1:], "/")
	for i, part := range segments {
		switch {
		case literal.MatchString(part):
			stem += "/" + part
		case part == string(segment):
			stem += "/{*}"
		case i == len(segments)-1:
			return tail(stem, part)
		case part == string(anything) && literal.MatchString(strings.Join(segments[i+1:], "")):
			stem += "/{**}"
		default:
			return nil, false, false
		}
	}
	return []string{stem}, false, true
}

// tail returns the paths that end with a part which is not one segment.
func tail(stem, part string) (paths []string, narrower, ok bool) {
	before, wild := part[:len(part)-1], rune(part[len(part)-1])
	switch {
	case !literal.MatchString(before) || (wild != anything && wild != something):
		return nil, false, false
	case before == "" && wild == something:
		return []string{stem + "/{*}", stem + "/{*}/{**}"}, false, true
	case before == "" && stem == "":
		return []string{"/*"}, false, true
	case before == "":
		return []string{stem + "/{**}"}, false, true
	case wild == something:
		return []string{stem + "/" + before + "/{**}"}, true, true
	}
	return []string{stem + "/" + before, stem + "/" + before + "/{**}"}, true, true
}

// operators takes a path of v2 apart into its segments.
func operators(path string) []string {
	if path == "/*" {
		return []string{"{**}"}
	}
	return strings.Split(strings.TrimPrefix(path, "/"), "/")
}

// covers is true if every request that matches path matches wide too.
func covers(wide, path string) bool {
	return coversFrom(operators(wide), operators(path))
}

func coversFrom(wide, path []string) bool {
	switch {
	case slices.Equal(wide, path):
		return true
	case len(wide) == 0 || len(path) == 0:
		return false
	case wide[0] == "{**}":
		return len(wide) == 1
	case wide[0] == path[0], wide[0] == "{*}" && path[0] != "{**}" && path[0] != "":
		return coversFrom(wide[1:], path[1:])
	}
	return false
}

// overlap is true if a request may match both paths.
func overlap(a, b string) bool {
	return overlapFrom(operators(a), operators(b))
}

func overlapFrom(a, b []string) bool {
	switch {
	case len(a) == 0 || len(b) == 0:
		return len(a) == len(b)
	case a[0] == "{**}" || b[0] == "{**}":
		return true
	case a[0] == b[0], a[0] == "{*}" && b[0] != "", b[0] == "{*}" && a[0] != "":
		return overlapFrom(a[1:], b[1:])
	}
	return false
}

// conflict is true if Kyma refuses path behind earlier, for one method, with
// "Path … conflicts with at least one of the previous rule paths". That is so
// for more than what covers says: "/{*}" is one earlier than "/{**}" (Kyma
// api-gateway, internal/path/segment_trie).
func conflict(earlier, path string) bool {
	return conflictFrom(operators(earlier), operators(path))
}

func conflictFrom(earlier, path []string) bool {
	switch {
	case len(path) == 0 || len(earlier) == 0:
		return len(path) == len(earlier)
	case earlier[0] == "{**}":
		suffix := earlier[1:]
		return len(suffix) == 0 || (len(path) >= len(suffix) && slices.Equal(path[len(path)-len(suffix):], suffix))
	case earlier[0] == path[0], earlier[0] == "{*}":
		return conflictFrom(earlier[1:], path[1:])
	}
	return false
}
