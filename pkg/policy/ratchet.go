// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// Ratchet compares what is wrong after a change with what was wrong before it.
// What the change did not introduce is no longer a denial but a warning, and is
// dropped if it is worth saying only once: an update is refused for what it
// breaks and never for what it inherits.
//
// Findings are matched by code and subject, not by path, so that reordering
// rules breaks nothing; each finding of before excuses one of after, so that
// repeating a fault in a second rule is introducing it. A finding about an open
// rule is inherited only if the rule opens no more than one of before did, see
// [Opening]. The order of after is kept, and neither list is changed.
func Ratchet(before, after []Finding) []Finding {
	inherited := newInheritance(before, after)
	excused := make([]bool, len(after))
	for i := range after {
		excused[i] = inherited.same(&after[i])
	}
	var left []Finding
	for i, finding := range after {
		if excused[i] || inherited.wider(&finding) {
			if finding.Once {
				continue
			}
			finding = finding.demoted()
		}
		left = append(left, finding)
	}
	return left
}

// inheritance is what was wrong before a change and excuses nothing yet.
type inheritance struct {
	by      map[identity][]*Finding
	open    map[identity][]*Finding // about open rules, whatever they open
	used    map[*Finding]bool
	compare *comparison
}

// identity tells faults apart. opens is "" for a fault that is not about an open
// rule, and where it does not matter what the rule opens.
type identity struct {
	code           Code
	subject, opens string
}

func newInheritance(before, after []Finding) inheritance {
	i := inheritance{by: make(map[identity][]*Finding, len(before)), open: map[identity][]*Finding{}, used: map[*Finding]bool{}}
	for at := range before {
		one := &before[at]
		key := identity{code: one.Code, subject: one.Subject}
		if one.Opens != nil {
			i.open[key] = append(i.open[key], one)
			key.opens = one.Opens.text()
		}
		i.by[key] = append(i.by[key], one)
	}
	if len(i.open) > 0 {
		i.compare = newComparison(before, after)
	}
	return i
}

// same is true if the same fault was there before, and uses it up.
func (i inheritance) same(after *Finding) bool {
	key := identity{code: after.Code, subject: after.Subject}
	if after.Opens != nil {
		key.opens = after.Opens.text()
	}
	same := i.by[key]
	if len(same) == 0 || after.Opens != nil && !i.compare.keptInFront(*same[0].Opens, *after.Opens) {
		return false
	}
	i.by[key], i.used[same[0]] = same[1:], true
	return true
}

// wider is true if an open rule before let in everything that the one of the finding
// does, and uses it up.
func (i inheritance) wider(after *Finding) bool {
	if after.Opens == nil {
		return false
	}
	for _, before := range i.open[identity{code: after.Code, subject: after.Subject}] {
		if !i.compare.more() {
			return false
		}
		if !i.used[before] && after.Opens.within(*before.Opens) && i.compare.keptInFront(*before.Opens, *after.Opens) {
			i.used[before] = true
			return true
		}
	}
	return false
}
