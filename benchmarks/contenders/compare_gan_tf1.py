"""A training step of compare_gan, https://github.com/google/compare_gan, under TensorFlow 1.15.

  python3.7 compare_gan_tf1.py FOLDER BATCH_SIZE BINDING...

Its own estimator trains; a hook holds the session between turns. Data are its fake data set. A call of its
session updates the discriminator once, and the generator in every `disc_iters`-th call; these are one step.

With pip < 24 and setuptools < 60 it runs on tensorflow==1.15.5 protobuf==3.20.3 numpy==1.18.5
gin-config==0.3.0 tensorflow-hub==0.7.0 tensorflow-datasets==1.0.1 tensorflow-gan==0.0.0.dev0
tensorflow-probability==0.8.0 mock==4.0.3 pstar pandas scipy matplotlib pillow six future.
"""

import sys
import tempfile
import time

from turns import answers


def main():
    answer = answers()
    folder, batch_size, bindings = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    sys.path.insert(0, folder)
    import gin
    import gin.tf.external_configurables  # noqa: F401
    import tensorflow as tf
    from absl import flags

    from compare_gan import datasets, runner_lib
    from compare_gan.gans import loss_lib, modular_gan, penalty_lib, s3gan, ssgan  # noqa: F401

    flags.DEFINE_bool("use_tpu", False, "as its main.py has it, for get_options_dict")
    flags.FLAGS(["benchmark", "--data_fake_dataset"])
    gin.parse_config_files_and_bindings([], bindings)
    options = runner_lib.get_options_dict()

    class Turns(tf.train.SessionRunHook):
        """Answers when the steps that were asked for are taken, and waits for the next order."""

        def __init__(self):
            self.left, self.begun = 0, None

        def after_run(self, context, values):
            if self.begun is None:
                answer(ready=True, tensorflow=tf.__version__)
            else:
                self.left -= 1
                if self.left:
                    return
                wall, cpu = self.begun
                answer(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
            line = sys.stdin.readline()
            if not line:
                context.request_stop()
                return
            self.left = int(line) * options["disc_iters"]
            self.begun = (time.perf_counter(), time.process_time())

    with tempfile.TemporaryDirectory() as model_dir:
        config = tf.contrib.tpu.RunConfig(
            model_dir=model_dir,
            save_checkpoints_steps=None,
            tpu_config=tf.contrib.tpu.TPUConfig(iterations_per_loop=1),
        )
        gan = options["gan_class"](dataset=datasets.get_dataset(), parameters=options, model_dir=model_dir)
        estimator = gan.as_estimator(config, batch_size=batch_size, use_tpu=False)
        estimator.train(input_fn=gan.input_fn, max_steps=10**6, hooks=[Turns()])


if __name__ == "__main__":
    main()
