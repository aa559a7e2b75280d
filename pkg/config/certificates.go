// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateCertificates(path *field.Path, certificates Certificates) field.ErrorList {
	var errs field.ErrorList
	switch certificates.Mode {
	case CertificatesSelf:
		errs = append(errs, validateSelf(path.Child("self"), certificates.Self)...)
	case CertificatesFromFiles, CertificatesLocal:
	default:
		errs = append(errs, field.NotSupported(path.Child("mode"), certificates.Mode,
			[]CertificateMode{CertificatesFromFiles, CertificatesSelf, CertificatesLocal}))
	}
	if !filepath.IsAbs(certificates.Directory) {
		errs = append(errs, field.Invalid(path.Child("directory"), certificates.Directory, "must be an absolute path"))
	}
	return errs
}

func validateSelf(path *field.Path, self SelfCertificates) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(self.Namespace) {
		errs = append(errs, field.Invalid(path.Child("namespace"), self.Namespace, problem))
	}
	for _, problem := range validation.IsDNS1123Subdomain(self.Secret) {
		errs = append(errs, field.Invalid(path.Child("secret"), self.Secret, problem))
	}
	for _, problem := range validation.IsDNS1123Label(self.Service) {
		errs = append(errs, field.Invalid(path.Child("service"), self.Service, problem))
	}
	if self.Validity.Duration < time.Hour {
		errs = append(errs, field.Invalid(path.Child("validity"), self.Validity.Duration.String(), "must be at least 1h"))
	}
	if before := self.RenewBefore.Duration; before <= 0 || before > self.Validity.Duration/2 {
		errs = append(errs, field.Invalid(path.Child("renewBefore"), before.String(), "must be more than zero and at most half of validity"))
	}
	if self.CAValidity.Duration < 4*self.Validity.Duration {
		errs = append(errs, field.Invalid(path.Child("caValidity"), self.CAValidity.Duration.String(),
			"must be at least four times validity: the authority is replaced while its certificates still live"))
	}
	return errs
}
