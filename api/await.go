package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farshore/domain/errorcatalog"
	"farshore/eventstore"
	"farshore/projections"
)

// modelsOf says which read models an operation answers from.
func modelsOf(operationID string) []string {
	return map[string][]string{
		"listVaults": {projections.VaultsName}, "getVault": {projections.VaultsName},
		"listPolicies": {projections.PoliciesName}, "getPolicy": {projections.PoliciesName},
		"listSites": {projections.SitesName}, "getSite": {projections.SitesName},
		"listHosts": {projections.SitesName}, "getHost": {projections.SitesName},
		"listVirtualMachines": {projections.SitesName, projections.ProtectedItemsName},
		"getVirtualMachine":   {projections.SitesName, projections.ProtectedItemsName},
		"listNetworks":        {projections.SitesName}, "getNetwork": {projections.SitesName}, "listClouds": {projections.SitesName},
		"listNetworkMappings": {projections.NetworkMappingsName}, "getNetworkMapping": {projections.NetworkMappingsName},
		"getNetworkSettings":  {projections.ProtectedItemsName},
		"listStorageAccounts": {projections.StorageAccountsName}, "getStorageAccount": {projections.StorageAccountsName},
		"listProtectedItems": {projections.ProtectedItemsName}, "getProtectedItem": {projections.ProtectedItemsName},
		"listRecoveryPoints": {projections.ProtectedItemsName}, "getRecoveryPoint": {projections.ProtectedItemsName},
		"listRecoveryPlans": {projections.RecoveryPlansName}, "getRecoveryPlan": {projections.RecoveryPlansName},
		"listJobs": {projections.JobsName}, "getJob": {projections.JobsName},
		"listEvents":  {projections.JobsName}, // which tells the jobs of an item
		"listAPIKeys": {projections.APIKeysName}, "getAPIKey": {projections.APIKeysName},
	}[operationID]
}

// errLagging asks a client to come back for what it wants to see.
var errLagging = refuse(http.StatusServiceUnavailable, errorcatalog.ProjectionLagging, "the position asked for has not been reached yet")

// await holds a query back until what it reads has reached minPosition.
func (s *Server) await(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		models := modelsOf(callOf(r.Context()).operation)
		asked := c.QueryParam("minPosition")
		if asked == "" || len(models) == 0 {
			return next(c)
		}
		position, err := strconv.ParseInt(asked, 10, 64)
		if err != nil {
			return refuse(http.StatusBadRequest, errorcatalog.ValidationFailed, "minPosition is not a position")
		}
		if err := s.reached(r.Context(), eventstore.Position(position), models...); err != nil {
			return err
		}
		return next(c)
	}
}

// itemsHere lists the items at a host as the whole log has them by now: a rule
// that spans items must not be decided on an old read model.
func (s *Server) itemsHere(ctx context.Context, vault, site, host string) ([]itemRow, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.reached(ctx, head, projections.ProtectedItemsName); err != nil {
		return nil, err
	}
	return s.queries.ItemsAt(ctx, vault, site, host)
}

// reached returns once read models show a position, errLagging when they do not
// in the time there is.
func (s *Server) reached(ctx context.Context, position eventstore.Position, models ...string) error {
	waiting, cancel := context.WithTimeout(ctx, s.lagTimeout)
	defer cancel()
	err := s.positions.WaitFor(waiting, position, models...)
	if err != nil && ((waiting.Err() != nil && ctx.Err() == nil) || errors.Is(err, projections.ErrProjectionStopped)) {
		return errLagging
	}
	return err
}
