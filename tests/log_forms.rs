//! One case for every wording that frameworks use, as they print it.

use ckdiff::read::log::{self, LogReport, Lookup};
use ckdiff::rules::RuleSet;

fn read(text: &str) -> LogReport {
    log::parse(text.as_bytes(), &RuleSet::embedded())
}

fn shapes(report: &LogReport) -> Vec<(&str, &[u64], &[u64])> {
    report.size_mismatches.iter().map(|m| (m.key.as_str(), m.source.dims(), m.target.dims())).collect()
}

#[test]
fn pytorch_of_every_age() {
    let old = read("KeyError: 'unexpected key \"module.features.conv0.weight\" in state_dict'");
    assert_eq!(old.unexpected_keys, ["module.features.conv0.weight"]);
    let missing = read("KeyError: 'missing keys in state_dict: \"{'fc.bias', 'fc.weight'}\"'");
    assert_eq!(missing.missing_keys, ["fc.bias", "fc.weight"]);
    let from_0_4_1 = read(
        "size mismatch for fc.weight: copying a param of torch.Size([50, 2048]) from checkpoint, where the shape is torch.Size([1000, 2048]) in current model.",
    );
    assert_eq!(shapes(&from_0_4_1), [("fc.weight", &[50, 2048][..], &[1000, 2048][..])]);
    let copying = read(
        "While copying the parameter named \"fc.bias\", whose dimensions in the model are torch.Size([10]) and whose dimensions in the checkpoint are torch.Size([1000]).",
    );
    assert_eq!(shapes(&copying), [("fc.bias", &[1000][..], &[10][..])]);
    let returned = read("_IncompatibleKeys(missing_keys=[], unexpected_keys=['head.weight', 'head.bias'])");
    assert_eq!((returned.kind.as_str(), returned.unexpected_keys.len()), ("incompatible-keys", 2));
    let distributed = read("RuntimeError: Missing key in checkpoint state_dict: model.layers.0.weight.\n");
    assert_eq!(distributed.missing_keys, ["model.layers.0.weight"]);
    let saved = read(
        "ValueError: Size mismatch between saved torch.Size([8, 4]) and current: torch.Size([4, 4]) for model.fc.weight",
    );
    assert_eq!(shapes(&saved), [("model.fc.weight", &[8, 4][..], &[4, 4][..])]);
}

#[test]
fn a_traceback_that_shows_the_source_of_pytorch_gives_only_what_was_printed() {
    let text = r#"RuntimeError                              Traceback (most recent call last)
Cell In[7], line 3
      1 model = Net()
----> 3 model.load_state_dict(state)

File ~/lib/python3.11/site-packages/torch/nn/modules/module.py:2040, in Module.load_state_dict(self, state_dict, strict)
   2028     if len(unexpected_keys) > 0:
   2029         error_msgs.insert(
   2030             0, 'Unexpected key(s) in state_dict: {}. '.format(
   2031                 ', '.join('"{}"'.format(k) for k in unexpected_keys)))
   2034             0, 'Missing key(s) in state_dict: {}. '.format(
   2035                 ', '.join('"{}"'.format(k) for k in missing_keys)))
   2038 if len(error_msgs) > 0:
-> 2040     raise RuntimeError('Error(s) in loading state_dict for {}:\n\t{}'.format(
   2041                        self.__class__.__name__, "\n\t".join(error_msgs)))
   2042 return _IncompatibleKeys(missing_keys, unexpected_keys)

RuntimeError: Error(s) in loading state_dict for Net:
	Missing key(s) in state_dict: "fc.weight". "#;
    let report = read(text);
    assert_eq!(report.missing_keys, ["fc.weight"]);
    assert_eq!(report.unexpected_keys, [""; 0]);
    assert_eq!(report.model_class.as_deref(), Some("Net"));
}

#[test]
fn transformers_and_diffusers() {
    let shapes_differ = read(
        "Some weights of ViTForImageClassification were not initialized from the model checkpoint at google/vit and are newly initialized because the shapes did not match:\n- classifier.bias: found shape torch.Size([1000]) in the checkpoint and torch.Size([2]) in the model instantiated\n- classifier.weight: found shape torch.Size([1000, 768]) in the checkpoint and torch.Size([2, 768]) in the model instantiated\nYou should probably TRAIN this model",
    );
    assert_eq!(
        shapes(&shapes_differ),
        [("classifier.bias", &[1000][..], &[2][..]), ("classifier.weight", &[1000, 768], &[2, 768])]
    );
    assert_eq!(shapes_differ.missing_keys, [""; 0]);
    let set = read(
        "ValueError: Trying to set a tensor of shape torch.Size([152064, 3584]) in \"weight\" (which has shape torch.Size([151646, 3584])), this looks incorrect.",
    );
    assert_eq!(shapes(&set), [("weight", &[152064, 3584][..], &[151646, 3584][..])]);
    let report = read(
        "\nGPT2Model LOAD REPORT from: gpt2\nKey                  | Status     | Details\n---------------------+------------+--------\nh.{0...2}.attn.bias  | UNEXPECTED |        \nwte.{a, b}           | MISSING    |        \nhead.weight          | MISMATCH   | Reinit due to size mismatch ckpt: torch.Size([10, 4]) vs model:torch.Size([2, 4])\n\nNotes:\n- UNEXPECTED\t:can be ignored when loading from different task/architecture",
    );
    assert_eq!(report.unexpected_keys, ["h.0.attn.bias", "h.1.attn.bias", "h.2.attn.bias"]);
    assert_eq!(report.missing_keys, ["wte.a", "wte.b"]);
    assert_eq!(shapes(&report), [("head.weight", &[10, 4][..], &[2, 4][..])]);
    assert_eq!(
        (report.kind.as_str(), report.folded, report.model_class.as_deref()),
        ("load-report", true, Some("GPT2Model"))
    );
    let two_columns = read(
        "Net LOAD REPORT from: x\nKey      | Status  |\nt5.embed | MISSING |\n- MISSING: those params were newly initialized\n",
    );
    assert_eq!(two_columns.missing_keys, ["t5.embed"]);
    let lacking = read(
        "ValueError: Cannot load <class 'UNet2DConditionModel'> from x because the following keys are missing: \n conv_in.weight, conv_in.bias. \n Please make sure to pass `low_cpu_mem_usage=False`",
    );
    assert_eq!(lacking.missing_keys, ["conv_in.weight", "conv_in.bias"]);
    let wide = read(
        "ValueError: Cannot load x because conv_in.weight expected shape torch.Size([320, 4, 3, 3]), but got torch.Size([320, 9, 3, 3]). If you want",
    );
    assert_eq!(shapes(&wide), [("conv_in.weight", &[320, 9, 3, 3][..], &[320, 4, 3, 3][..])]);
}

#[test]
fn adapters() {
    let peft = read(
        "UserWarning: Found missing adapter keys while loading the checkpoint: ['base_model.model.fc.lora_A.default.weight'].",
    );
    assert_eq!(peft.missing_keys, ["base_model.model.fc.lora_A.default.weight"]);
    let led = read(
        "Loading adapter weights from state_dict led to unexpected keys not found in the model:  ['a.lora_A.default_0.weight', 'a.lora_B.default_0.weight']. ",
    );
    assert_eq!(led.unexpected_keys.len(), 2);
    let both = read(
        "Loading adapter weights from state_dict led to missing keys in the model: a.lora_A.default.weight, a.lora_B.default.weight",
    );
    assert_eq!(both.missing_keys, ["a.lora_A.default.weight", "a.lora_B.default.weight"]);
    let comfy =
        read("lora key not loaded: lora_unet_blocks_0.alpha\nlora key not loaded lora_unet_blocks_0.lora_up.weight\n");
    assert_eq!(comfy.unexpected_keys, ["lora_unet_blocks_0.alpha", "lora_unet_blocks_0.lora_up.weight"]);
    let clip = read(
        "clip missing: ['text_projection.weight']\nunet unexpected: ['a.b']\nleft over keys: dict_keys(['cond.x'])",
    );
    assert_eq!(
        (clip.missing_keys, clip.unexpected_keys),
        (vec!["text_projection.weight".into()], vec!["a.b".into(), "cond.x".into()])
    );
}

#[test]
fn detectors() {
    let fvcore = read(
        "WARNING [05/06 10:00:00 fvcore.common.checkpoint]: Some model parameters or buffers are not found in the checkpoint:\nroi_heads.box_predictor.bbox_pred.{bias, weight}\nWARNING [05/06 10:00:00 fvcore.common.checkpoint]: The checkpoint state_dict contains keys that are not used by the model:\n  fc1000.{bias, weight}\n  stem.conv1.bias\n[05/06 10:00:01 d2.engine.train_loop]: Starting training from iteration 0\n",
    );
    assert_eq!(
        fvcore.missing_keys,
        ["roi_heads.box_predictor.bbox_pred.bias", "roi_heads.box_predictor.bbox_pred.weight"]
    );
    assert_eq!(fvcore.unexpected_keys, ["fc1000.bias", "fc1000.weight", "stem.conv1.bias"]);
    let skipped = read(
        "Skip loading parameter 'roi_heads.box_predictor.cls_score.weight' to the model due to incompatible shapes: (81, 1024) in the checkpoint but (6, 1024) in the model! You might want to double check if this is expected.",
    );
    assert_eq!(shapes(&skipped), [("roi_heads.box_predictor.cls_score.weight", &[81, 1024][..], &[6, 1024][..])]);
    let older = read(
        "'roi_heads.box_predictor.cls_score.bias' has shape (81,) in the checkpoint but (6,) in the model! Skipped.",
    );
    assert_eq!(shapes(&older), [("roi_heads.box_predictor.cls_score.bias", &[81][..], &[6][..])]);
    let detectron2 = read(
        "Shape of stem.fc.weight in checkpoint is torch.Size([81, 4]), while shape of roi_heads.stem.fc.weight in model is torch.Size([6, 4]).",
    );
    assert_eq!(shapes(&detectron2), [("stem.fc.weight", &[81, 4][..], &[6, 4][..])]);
    let table = read(
        "these keys have mismatched shape:\n+------------+------------------------+------------------------+\n| key        | expected shape         | loaded shape           |\n+------------+------------------------+------------------------+\n| fc.weight  | torch.Size([10, 512])  | torch.Size([1000, 512]) |\n| fc.bias    | torch.Size([10])       | torch.Size([1000])     |\n+------------+------------------------+------------------------+\n",
    );
    assert_eq!(shapes(&table), [("fc.weight", &[1000, 512][..], &[10, 512][..]), ("fc.bias", &[1000], &[10])]);
}

#[test]
fn lightning_and_timm() {
    let lightning = read(
        "Found keys that are in the model state dict but not in the checkpoint: ['a.b']\nFound keys that are not in the model state dict but in the checkpoint: ['c.d', 'e.f']",
    );
    assert_eq!((lightning.missing_keys, lightning.unexpected_keys.len()), (vec!["a.b".to_owned()], 2));
    let timm = read(
        "Missing keys (head.fc.weight, head.fc.bias) discovered while loading pretrained weights. This is expected if model is being adapted.\nUnexpected keys (bn2.num_batches_tracked, bn2.bias) found while loading pretrained weights.",
    );
    assert_eq!(timm.missing_keys, ["head.fc.weight", "head.fc.bias"]);
    assert_eq!(timm.unexpected_keys, ["bn2.num_batches_tracked", "bn2.bias"]);
}

#[test]
fn servers() {
    let vllm = read(
        "    param = params_dict[name]\n            ~~~~~~~~~~~^^^^^^\nKeyError: 'layers.0.attention.wk.weight'\n",
    );
    assert_eq!(vllm.unexpected_keys, ["layers.0.attention.wk.weight"]);
    let module = read("ValueError: There is no module or parameter named 'model' in Mamba2ForCausalLM");
    assert_eq!(module.key_errors.first().map(|e| (e.key.as_str(), e.looked_up_in)), Some(("model", Lookup::Model)));
    assert_eq!(module.model_class.as_deref(), Some("Mamba2ForCausalLM"));
    let uninitialised =
        read("ValueError: Following weights were not initialized from checkpoint: {'model.layers.0.mlp.gate.weight'}");
    assert_eq!(uninitialised.missing_keys, ["model.layers.0.mlp.gate.weight"]);
}

#[test]
fn other_frameworks() {
    let tensorflow =
        read("NotFoundError: Key bert/embeddings/word_embeddings not found in checkpoint\n\t [[node save/RestoreV2]]");
    assert_eq!(tensorflow.missing_keys, ["bert/embeddings/word_embeddings"]);
    let keras = read(
        "ValueError: Shape mismatch in layer #5 (named dense_1) for weight dense_1/kernel. Weight expects shape (512, 10). Received saved weight with shape (512, 1000)",
    );
    assert_eq!(shapes(&keras), [("dense_1/kernel", &[512, 1000][..], &[512, 10][..])]);
    let candle = read("Error: cannot find tensor model.embed_tokens.weight\n");
    assert_eq!(candle.missing_keys, ["model.embed_tokens.weight"]);
    let paddle = read(
        "UserWarning: Skip loading for linear.weight. linear.weight receives a shape [10, 4], but the expected shape is [2, 4].\nSkip loading for head.bias. head.bias is not found in the provided dict.",
    );
    assert_eq!(shapes(&paddle), [("linear.weight", &[10, 4][..], &[2, 4][..])]);
    assert_eq!(paddle.missing_keys, ["head.bias"]);
}

#[test]
fn printed_by_hand() {
    for (text, missing, unexpected) in [
        ("missing_keys: ['a.b'], unexpected_keys: []", 1, 0),
        ("Missing keys: ['a.b', 'c.d']\nUnexpected keys: ['e.f']", 2, 1),
        ("missing keys (2): ['a.b', 'c.d']", 2, 0),
        ("{\"missing_keys\": [\"a.b\"], \"unexpected_keys\": [\"c.d\", \"e.f\"]}", 1, 2),
        ("missing key:  a.b\nmissing key:  c.d\nunexpected key: e.f\n", 2, 1),
        ("[WARNING] unexpected keys found: {'a.b', 'c.d'}", 0, 2),
        ("missing_keys = []", 0, 0),
        ("there are no missing keys.\nmissing keys: none\nunexpected keys: 0\n", 0, 0),
        ("missing_keys, unexpected_keys = model.load_state_dict(state, strict=False)", 0, 0),
    ] {
        let report = read(text);
        assert_eq!((report.missing_keys.len(), report.unexpected_keys.len()), (missing, unexpected), "{text}");
    }
}

#[test]
fn a_lone_key_is_told_by_its_traceback_and_an_entry_is_not_a_key() {
    let swin = read(
        "    table_current = self.state_dict()[table_key]\nKeyError: 'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table'\n\nDuring handling of the above exception, another exception occurred:\n\nKeyError: \"CascadeRCNN: 'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table'\"\n",
    );
    assert_eq!(swin.unexpected_keys.len(), 1);
    assert_eq!(swin.key_errors.len(), 1);
    assert_eq!(swin.key_errors[0].through, ["CascadeRCNN"]);
    let entry = read("    model.load_state_dict(checkpoint['params'])\nKeyError: 'params'");
    assert!(entry.missing_keys.is_empty());
    assert_eq!(entry.key_errors[0].key, "params");
    assert!(read("KeyError: 'CUDA_HOME'\nnothing else").missing_keys.is_empty());
}

#[test]
fn other_text_says_nothing() {
    for text in [
        "",
        "Epoch 1 loss 0.3\nEpoch 2 loss 0.2\n",
        "ValueError: Expected more than 1 value per channel when training",
        "keys: a, b",
    ] {
        assert!(read(text).is_empty(), "{text}");
        assert_eq!(read(text).kind, "unknown");
    }
}
