// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Module says whether this installation is a module of Kyma, whose ExtAuthGuard has
// settings that take effect without a restart and tells how the installation is.
type Module struct {
	Enabled bool `json:"enabled"`
	// Namespace is that of the installation, and of the one ExtAuthGuard that counts.
	Namespace string `json:"namespace"`
}

func validateModule(path *field.Path, module Module) field.ErrorList {
	if !module.Enabled {
		return nil
	}
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(module.Namespace) {
		errs = append(errs, field.Invalid(path.Child("namespace"), module.Namespace, problem))
	}
	return errs
}
