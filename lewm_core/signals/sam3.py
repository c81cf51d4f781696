"""Object masks by SAM 3 (Carion et al. 2025) through transformers, the paper's backend: a text prompt, one object."""

from collections.abc import Mapping

import numpy as np

from lewm_core.signals.geometry import REFERENCE_SIZE
from lewm_core.signals.weights import Needs, Settings, from_folder
from lewm_core.sources.episode import Episode
from lewm_core.utils import torchvision_compat

PROMPT = "object being grabbed by robotic arm"  # the paper's
MOVED = 8.0  # px at 224: an object whose centre ever gets this far from where it began was moved
MEMORY = 32  # frames whose features a session keeps: twice what SAM 3's tracker looks back on


class Sam3:
    """A mask backend. InputError where the weights are not what they should be."""

    needs = Needs("sam3", others=("transformers",))

    def __init__(self, settings: Settings):
        torchvision_compat.ensure()
        import torch
        from transformers import Sam3VideoModel, Sam3VideoProcessor
        from transformers.models.sam3_video import modeling_sam3_video

        # Where the package `kernels` is installed, transformers would fetch compiled code and run it. Not from here.
        modeling_sam3_video.cv_utils_kernel = False
        self.settings, self.dtype = settings, torch.bfloat16 if settings.half else torch.float32
        self.processor, self.model = from_folder(Sam3VideoProcessor, Sam3VideoModel, self.needs, settings, self.dtype)

    def __call__(self, episode: Episode) -> np.ndarray:
        """The mask (T, H, W) bool of the object that `one_object` keeps; empty where SAM 3 finds none."""
        masks, scores = self.objects(episode)
        return one_object(masks, scores, episode.frames.shape[:3])

    def objects(self, episode: Episode) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        """All that SAM 3 finds for PROMPT: by object id its masks (T, H, W) bool and scores (T,), 0 where unseen.

        One frame is in memory as floats at a time, and the features of MEMORY frames.
        """
        t, h, w = episode.frames.shape[:3]
        session = self.processor.init_video_session(
            inference_device=self.settings.on, inference_state_device="cpu", dtype=self.dtype
        )
        session.video_height, session.video_width = h, w
        session.processed_frames = _Prepared(episode.frames, self.processor.video_processor, self.dtype)
        self.processor.add_text_prompt(session, PROMPT)
        masks, scores = {}, {}
        for output in self.model.propagate_in_video_iterator(session):
            frame = output.frame_idx
            found = self.processor.postprocess_outputs(session, output)
            for id, mask, score in zip(found["object_ids"].tolist(), found["masks"].cpu().numpy(),
                                       found["scores"].tolist(), strict=True):  # fmt: skip
                masks.setdefault(id, np.zeros((t, h, w), bool))[frame] = mask
                scores.setdefault(id, np.zeros(t))[frame] = score
            for outputs in session.output_dict_per_obj.values():
                past = outputs["non_cond_frame_outputs"]
                for old in [f for f in past if f < frame - MEMORY]:
                    del past[old]
        return masks, scores


class _Prepared(Mapping):
    """The frames as a session wants them, each made when it is asked for."""

    def __init__(self, frames: np.ndarray, processor, dtype):
        self.frames, self.processor, self.dtype = frames, processor, dtype

    def __getitem__(self, t: int):
        video = self.processor(videos=[self.frames[t : t + 1]], return_tensors="pt")
        return video["pixel_values_videos"][0, 0].to(self.dtype)

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self):
        return iter(range(len(self.frames)))


def one_object(masks: Mapping[int, np.ndarray], scores: Mapping[int, np.ndarray], shape: tuple) -> np.ndarray:
    """The mask `shape` = (T, H, W) bool of one object, by score and motion; empty where there is no object.

    Among the objects that are moved (the centre of the mask gets MOVED px at 224 away from where it was first seen),
    or among all if none is, the one with the greatest mean score over all frames, 0 in those where it is not seen: so
    what is found surely and for long wins, and a still bystander loses to what moves. Ties go to the lower id.
    """
    if not masks:
        return np.zeros(shape, bool)
    moved = [id for id in masks if _travel(masks[id]) >= MOVED]
    return masks[max(sorted(moved or masks), key=lambda id: scores[id].mean())]


def _travel(mask: np.ndarray) -> float:
    """The greatest distance of the mask's centre from its first place, px at 224."""
    centres = np.array([np.argwhere(m).mean(0) for m in mask if m.any()])
    return float(np.linalg.norm(centres - centres[0], axis=1).max() * REFERENCE_SIZE / min(mask.shape[1:]))
