from ctao_sat import dl3, dl5, plotting, simulate

arrays = [simulate.demo_array(site) for site in ("north", "south")]
tables = [dl3.irf_performance(irfs, offset="0.5 deg") for irfs in arrays]
fluxes = [dl5.sensitivity(irfs, livetime="50 h") for irfs in arrays]

south = tables[1]
south["e_ref", "effective_area", "r68", "energy_resolution", "background_rate_in_r68"].pprint()
fluxes[1]["e_ref", "e2dnde", "excess", "background", "criterion"].pprint()
print(*south.meta["notes"], sep="\n")

note = "Demonstration arrays of ctao_sat: formulas, not CTAO's instrument responses."
plotting.save(plotting.plot_irf_performance(tables, fluxes, note=note), "irf-performance.png")
