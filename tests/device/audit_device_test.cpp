// A whole audit on another device against the same on the CPU.
#include "audit/audit_fixture.h"
#include "device/device_fixture.h"
#include "rebound/audit/runner.h"
#include "support/failures.h"

namespace rebound {
namespace {

class AuditDeviceTest : public DeviceTest {
 protected:
  std::string device_name() const { return device().str(); }
};

// Every kind of row and of control, one step or two of each.
AuditSpec short_spec(const std::string& kind) {
  AuditSpec spec = toy_spec(kind);
  for (RowSpec& row : spec.rows) row.steps = 4;
  RowSpec minimal = spec.rows.front();
  minimal.kind = RowKind::kMinimalBudget;
  spec.rows.push_back(minimal);
  RowSpec shared = spec.rows.front();
  shared.scope = RowScope::kShared;
  spec.rows.push_back(shared);
  spec.controls = {.is_on = true, .random_draws = 1, .inject_targets = 1, .shared_budgets = {4}};
  spec.trace = true;
  return spec;
}

void expect_same_summary(const AuditSummary& found, const AuditSummary& expected) {
  EXPECT_EQ(found.n_valid, expected.n_valid);
  EXPECT_EQ(found.verdict, expected.verdict);
  EXPECT_EQ(found.attribution.value("main_route", ""),
            expected.attribution.value("main_route", ""));
  ASSERT_EQ(found.rows.size(), expected.rows.size());
  for (size_t i = 0; i < found.rows.size(); ++i) {
    SCOPED_TRACE(expected.rows[i].name);
    EXPECT_EQ(found.rows[i].name, expected.rows[i].name);
    EXPECT_EQ(found.rows[i].n_valid, expected.rows[i].n_valid);
    // A flip at the very edge of its goal may fall to the other side by rounding.
    EXPECT_NEAR(static_cast<double>(found.rows[i].recovered),
                static_cast<double>(expected.rows[i].recovered),
                1);
  }
}

// In one model every flip comes back, in the other none does, so that the power check runs.
TEST_P(AuditDeviceTest, AnAuditRecoversOnTheDeviceWhatItRecoversOnTheCpu) {
  for (const char* kind : {"toy-feature-routed", "toy-sealed"}) {
    SCOPED_TRACE(kind);
    AuditSpec spec = short_spec(kind);
    const AuditSummary expected = run_audit(spec, fresh_folder("cpu"));
    spec.device = device_name();
    const AuditSummary found = run_audit(spec, fresh_folder("device"));
    expect_same_summary(found, expected);
    EXPECT_EQ(expected.environment.at("device"), "cpu");
    EXPECT_EQ(found.environment.at("device").get<std::string>().rfind(device_name(), 0), 0u);
  }
}

TEST_P(AuditDeviceTest, TheSpecKeepsTheDeviceAndAResumedRunGoesOnThere) {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows.resize(1);
  spec.rows[0].steps = 2;
  spec.device = device_name();
  EXPECT_EQ(read_spec(to_json(spec), "spec").device, device_name());
  const std::filesystem::path folder = fresh_folder("resumed");
  run_audit(spec, folder);
  EXPECT_EQ(
      resume_audit(folder).environment.at("device").get<std::string>().rfind(device_name(), 0), 0u);
}

INSTANTIATE_TEST_SUITE_P(Devices,
                         AuditDeviceTest,
                         ::testing::Values(kStrictDevice, kGpu),
                         name_of_device);

}  // namespace
}  // namespace rebound
