#pragma once

#include <memory>

#include "audit/audit_fixture.h"
#include "rebound/audit/answer_batch.h"
#include "rebound/base/rng.h"
#include "rebound/intervene/direction_clamp.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"
#include "text/tiny_vocabulary.h"

namespace rebound {

// A random model that reads printable ASCII, clamps on directions at layers 1 and 2, and four flips
// (numbers 10 to 13) with made-up base answers.
class AnswerBatchTest : public RunFolderTest {
 protected:
  AnswerBatchTest() {
    at::set_num_threads(1);
    subject.tokenizer = std::make_shared<const Tokenizer>(tiny_tokenizer({" river", "lake"}));
    subject.chat = std::make_shared<const ChatTemplate>("Q:{{ messages[0]['content'] }};A:");
    ModelConfig config = tiny_config();
    config.vocab_size = subject.tokenizer->vocabulary_size();
    subject.model = subject.search =
        std::make_shared<const Transformer>(tiny_transformer(3, config));
    spec.target_tokens = 5;
    spec.max_new_tokens = 9;
    spec.rows = {AnswerRowSpec::of("forward_projection")};
    spec.rows[0].steps = 3;
    Rng rng({8});
    std::vector<std::shared_ptr<const Clamp>> clamps;
    for (const int64_t layer : {1, 2}) {
      DirectionClamp::Options options{.edit = DirectionEdit::kAdd, .strength = 0.5};
      options.sink_norm = 1e9;
      clamps.push_back(std::make_shared<const DirectionClamp>(
          Site{layer, SiteKind::kResidPre}, random_tensor(rng, {24}), options));
    }
    plan = std::make_shared<const ClampPlan>(std::move(clamps), config);
    for (const char* text : {"Name a river.", "lake", "Is it!", "x x"}) {
      subject.test.push_back(
          {{.id = concat("r", subject.test.size()), .text = text}, "set", subject.prompt_of(text)});
    }
    batch = {&subject, &spec, plan, {}, {}};
    for (size_t i = 0; i < subject.test.size(); ++i) {
      batch.flips.push_back({&subject.test[i],
                             static_cast<int64_t>(10 + i),
                             random_ids(rng, 6, config.vocab_size),
                             random_ids(rng, 6, config.vocab_size)});
    }
  }

  AnswerSubject subject;
  AnswerAuditSpec spec;
  std::shared_ptr<const ClampPlan> plan;
  AnswerBatch batch;
};

}  // namespace rebound
