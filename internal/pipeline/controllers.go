package pipeline

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxControllers bounds how far up a chain of controllers is followed.
const maxControllers = 5

// ControllersAbove follows the chain of controllers from an object up, as far as read knows
// their kinds: it returns nil for one that it does not. With an error it returns those
// below the one that could not be read.
func ControllersAbove(of metav1.Object, read func(namespace string, ref *metav1.OwnerReference) (metav1.Object, error)) ([]metav1.Object, error) {
	var chain []metav1.Object
	namespace := of.GetNamespace()
	for len(chain) < maxControllers {
		ref := metav1.GetControllerOf(of)
		if ref == nil {
			break
		}
		c, err := read(namespace, ref)
		if err != nil {
			return chain, err
		}
		if c == nil {
			break
		}
		chain = append(chain, c)
		of = c
	}
	return chain, nil
}

// Replaced says that an object is gone although there is one of its name: the error of one
// that is not found.
func Replaced(resource schema.GroupResource, name string) *apierrors.StatusError {
	gone := apierrors.NewNotFound(resource, name)
	gone.ErrStatus.Message = fmt.Sprintf("%s %q is gone and another one has its name", resource, name)
	return gone
}
