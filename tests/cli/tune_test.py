"""Tests of sinter tune: what it measures, keeps and tells. On a tiny model: each kind of dispatch of
a large one has some ten plans, which a software GPU compiles for minutes."""

import json
import os
import unittest

from sinter_cli import DEMO, CliTest, run

# A context of 32 tokens, so that the chunk that is measured is as short.
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 320,
    "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 257, "eos_token_id": 256,
}


class Tune(CliTest):
    def setUp(self):
        super().setUp()
        # Plans and shaders of its own.
        self.env = dict(os.environ, XDG_CACHE_HOME=str(self.temp / "cache"))

    def make_model(self):
        config, folder = self.temp / "config.json", self.temp / "model"
        config.write_text(json.dumps(CONFIG))
        self.assert_done(run("convert", "--random", 1, "--config", config, folder))
        return folder

    def tune(self, folder, *options):
        # Products in one plan only: the attention of a token is left to measure.
        if "SINTER_TEST_ALL" not in os.environ:
            options = ("--variant", "matmul_nbits=decode", *options)
        return run("tune", folder, *options, env=self.env)

    def test_measures_once(self):
        folder = self.make_model()
        result = self.tune(folder, "--json")
        self.assert_done(result)
        report = json.loads(result.stdout)
        self.assertGreater(report["measured"], 0)
        self.assertEqual((report["known"], len(report["plans"])), (0, report["measured"]))
        self.assertGreater(report["seconds"], 0)
        self.assertTrue(report["device"])
        for plan in report["plans"]:
            self.assertTrue(plan["kind"] and plan["chosen"])
            self.assertGreater(plan["microseconds"], 0)
            self.assertGreaterEqual(plan["guess_microseconds"] or plan["microseconds"],
                                    plan["microseconds"])
            self.assertFalse(plan["measured_earlier"])

        # Without --variant there are more kinds, of which the attention of a token is measured.
        devices = json.loads(run("devices", folder, "--json", env=self.env).stdout)
        tuned = [adapter for adapter in devices["adapters"] if adapter["plans_measured"]]
        self.assertEqual([adapter["name"] for adapter in tuned], [report["device"]])
        self.assertGreater(tuned[0]["model"]["kinds_measured"], 0)
        self.assertGreaterEqual(tuned[0]["model"]["kinds"], tuned[0]["model"]["kinds_measured"])

        again = json.loads(self.tune(folder, "--json").stdout)
        self.assertEqual((again["measured"], again["known"]), (0, report["measured"]))
        self.assertTrue(all(plan["measured_earlier"] for plan in again["plans"]))
        self.assertEqual(sorted((plan["kind"], plan["chosen"]) for plan in again["plans"]),
                         sorted((plan["kind"], plan["chosen"]) for plan in report["plans"]))

        text = self.tune(folder, "--again", "--explain")
        self.assert_done(text)
        self.assertIn(f"{report['measured']} plans measured, 0 known from before", text.stdout)

        self.damage_plans(folder, report["measured"])

    def damage_plans(self, folder, measured):
        """Changes the file of plans: what is not valid counts as unknown, and nothing fails."""
        file, = (self.temp / "cache").rglob("plans-*.json")
        good = json.loads(file.read_text())

        def known_after(change):
            plans = json.loads(json.dumps(good))
            change(plans)
            file.write_text(json.dumps(plans))
            result = self.tune(folder, "--json")
            self.assert_done(result)
            report = json.loads(result.stdout)
            self.assertEqual(report["known"] + report["measured"], measured)
            return report["known"]

        def set_each(field, value):
            def change(plans):
                for plan in plans["plans"].values():
                    plan[field] = value
            return change

        # A variant that is gone is measured again, unless the guess was the quickest.
        known_after(set_each("variant", "gone"))
        self.assertEqual(known_after(set_each("us", "fast")), 0)
        # Types for which a look at one field is enough.
        for change in (lambda plans: plans.update(format="2"),
                       lambda plans: plans.update(adapter=[1]),
                       lambda plans: plans.update(plans=[1]), set_each("us", -1),
                       set_each("alternatives", 1 << 64), set_each("variant", None)):
            plans = json.loads(json.dumps(good))
            change(plans)
            file.write_text(json.dumps(plans))
            result = run("devices", folder, "--json", env=self.env)
            self.assert_done(result)
        file.unlink()
        os.mkfifo(file)
        self.assert_done(run("devices", folder, "--json", env=self.env))

    def test_refuses_what_is_not_tuning(self):
        result = self.tune(DEMO, "--plan", "guess")
        self.assertEqual(result.returncode, 2)
        self.assertIn("got '--plan', want an option of sinter tune", result.stderr)
        self.assert_fails(self.tune(self.temp / "none"), "got nothing there, want a model folder")


if __name__ == "__main__":
    unittest.main()
