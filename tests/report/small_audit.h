// A small finished audit with every kind of content that a report must cope with.
#pragma once

#include "rebound/report/report.h"

namespace rebound {

inline RowSummary small_row(const std::string& constraint, int64_t recovered, double drift) {
  RowSummary row;
  row.name = constraint + "/logit_diff/per_prompt@20";
  row.objective = "logit_diff";
  row.constraint = constraint;
  row.threat_model = "after_clamp";
  row.scope = "per_prompt";
  row.budget = 20;
  row.n_valid = 21;
  row.recovered = recovered;
  row.rate = static_cast<double>(recovered) / 21;
  row.ci_low = row.rate * 0.8;
  row.ci_high = row.rate * 0.9 + 0.1;
  row.drift_pre_rel = drift;
  row.norm_mean = 19.95;
  row.seconds_per_prompt = 0.0123;
  return row;
}

inline RowSummary small_control(const std::string& control, int64_t recovered) {
  RowSummary row = small_row("encoder", recovered, 0.01);
  row.control = control;
  return row;
}

inline ReportInput small_audit() {
  AuditSummary summary;
  summary.behaviour = "ioi";
  summary.model = "SmolLM2-135M-Instruct";
  summary.sae = "blocks.12.hook_resid_pre, 4608";
  summary.defence = {{"value", -20}, {"features", {3, 17}}};
  summary.n_prompts = 64;
  summary.n_valid = 21;
  summary.verdict = "non-specific";
  summary.verdict_text = "The behaviour returns far above random. So does any other name.";
  summary.rows = {small_row("none", 21, 0.31),
                  small_row("encoder", 20, 1e-7),
                  small_control("inject", 19),
                  small_control("random", 3)};
  summary.rows[1].extra = {{"decode_drift", 0.5}, {"binding_fraction", nullptr}};
  summary.rows[2].target = " Tom, \"the other\"";
  summary.headline = {
      {"specificity", {{"value", 1.07}, {"ci_low", 0.9}, {"ci_high", 1.2}}},
      {"shared",
       {{"attack", {{"recovered", 9}, {"n", 11}}}, {"control", {{"recovered", 8}, {"n", 11}}}}},
      {"minimal_budgets",
       {{{"prompt", 0}, {"kind", "recover"}, {"gap", 1.0}, {"budget", 2.0}, {"cap", 20}},
        {{"prompt", 1}, {"kind", "recover"}, {"gap", 2.0}, {"budget", 6.0}, {"cap", 20}},
        {{"prompt", 0},
         {"kind", "inject"},
         {"target", " Tom"},
         {"gap", 4.0},
         {"budget", nullptr},
         {"cap", 20}}}}};
  summary.attribution = {{"route", "residual"},
                         {"parts",
                          {{{"name", "clamped"}, {"replay", {{"recovered", 0}, {"n", 21}}}},
                           {{"name", "residual"}, {"shapley", 0.93}}}}};
  summary.environment = {{"threads", 2}, {"dtype", "float32"}};
  return {
      .summary = summary,
      .spec = {{"seed", 7}},
      .examples = {{.prompt = 0,
                    .id = "baba-0",
                    .text = "Then <b>Mary</b> & John",
                    .base_score = 4.5,
                    .defended_score = -1,
                    .is_valid = true}},
      .results = {{.row = summary.rows[0].name, .prompt = 0, .recovered = true, .score = 38.5}}};
}

}  // namespace rebound
